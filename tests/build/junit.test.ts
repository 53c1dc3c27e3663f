// SPDX-License-Identifier: Apache-2.0
// The summing of test reports, over reports that the runners themselves write: a failure, a skip, a file
// that does not load and a runner that dies must never add up to success.
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { closingLine, parseReport, type Run, sum, type TestCase } from "../../scripts/junit.ts";

const directory = mkdtempSync(join(tmpdir(), "ttgate-junit-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const deno = join(process.cwd(), "node_modules/.bin/deno");

/** Runs one test file of its own under a runner and reads what the runner reports. */
function runOne(runner: "bun" | "deno", name: string, source: string): Run {
  const folder = mkdtempSync(join(directory, "run-"));
  const file = runner === "bun" ? `tests/${name}.test.ts` : `tests/${name}_test.ts`;
  mkdirSync(join(folder, "tests"));
  writeFileSync(join(folder, file), source);
  const command =
    runner === "bun"
      ? [process.execPath, "test", "--reporter=junit", "--reporter-outfile=report.xml"]
      : [deno, "test", "--no-check", "--junit-path=report.xml", file];
  const { status } = spawnSync(command[0] ?? "", command.slice(1), { cwd: folder, stdio: "ignore" });
  const report = join(folder, "report.xml");
  const cases = existsSync(report) ? parseReport(readFileSync(report, "utf8")) : [];
  return { runner, files: [file], cases, exitCode: status ?? 1 };
}

const mixed = {
  bun: `import { expect, test } from "bun:test";
    test('good <testcase name="x"/> & "quoted"', () => {});
    test("bad", () => expect("<skipped/></testcase>").toBe("<testcase>"));
    test.skip("skipped", () => {});`,
  deno: `Deno.test('good <testcase name="x"/> & "quoted"', () => {});
    Deno.test("bad", () => { throw new Error("<skipped/></testcase>"); });
    Deno.test({ name: "skipped", ignore: true, fn() {} });`,
};

for (const runner of ["bun", "deno"] as const) {
  test(`${runner}: passed, failed and skipped cases are told apart, whatever is in their names`, () => {
    const run = runOne(runner, "mixed", mixed[runner]);
    const outcomes = run.cases.map(({ name, outcome }) => [name, outcome]);
    expect(outcomes).toEqual([
      ['good <testcase name="x"/> & "quoted"', "passed"],
      ["bad", "failed"],
      ["skipped", "skipped"],
    ]);
    expect(closingLine(sum([run], false))).toBe("1 passed, 1 failed, 1 skipped");
  });

  test(`${runner}: a file that cannot be loaded is a failure`, () => {
    const run = runOne(runner, "broken", 'import "./absent.ts";');
    expect(sum([run], false).failures.length).toBeGreaterThan(0);
  });

  test(`${runner}: a runner that is killed is a failure`, () => {
    const source = 'import { kill, pid } from "node:process"; kill(pid, "SIGKILL");';
    const run = runOne(runner, "killed", source);
    expect(run.cases).toEqual([]);
    expect(sum([run], false).failures.length).toBeGreaterThan(0);
  });
}

function runOf(cases: readonly TestCase[], exitCode = 0): Run {
  return { runner: "bun", files: [], cases, exitCode };
}

test("an exit code without a failure in the report is a failure", () => {
  const passed: TestCase = { name: "a", file: "tests/a.test.ts", outcome: "passed" };
  expect(closingLine(sum([runOf([passed])], false))).toBe("1 passed, 0 failed");
  expect(closingLine(sum([runOf([passed], 1)], false))).toBe("1 passed, 1 failed");
});

test("no test at all is a failure", () => {
  expect(closingLine(sum([], false))).toBe("0 passed, 1 failed");
  expect(closingLine(sum([runOf([])], false))).toBe("0 passed, 1 failed");
});

test("a skipped kernel test fails in CI only", () => {
  const skipped: TestCase = { name: "drops", file: "tests/kernel/a.test.ts", outcome: "skipped" };
  const other: TestCase = { name: "other", file: "tests/core/a.test.ts", outcome: "skipped" };
  const passed: TestCase = { name: "a", file: "tests/core/a.test.ts", outcome: "passed" };
  expect(closingLine(sum([runOf([skipped, other, passed])], false))).toBe("1 passed, 0 failed, 2 skipped");
  expect(closingLine(sum([runOf([skipped, other, passed])], true))).toBe("1 passed, 1 failed, 1 skipped");
});

test("the sums of several runners are one line", () => {
  const run = runOf([{ name: "a", file: "tests/core/a.test.ts", outcome: "passed" }]);
  expect(closingLine(sum([run, run], true))).toBe("2 passed, 0 failed");
});
