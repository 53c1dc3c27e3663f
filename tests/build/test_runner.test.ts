// SPDX-License-Identifier: Apache-2.0
// Test files that hang, crash or leave something behind: each counts as one failure, what the other files did
// is counted as if it had not been there, and nothing of it outlives its run.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { closingLine, sum } from "../../scripts/junit.ts";
import { Runner } from "../../scripts/test_runner.ts";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

const project = new TempDir();
mkdirSync(project.file("tests"));
const runner = new Runner({ cwd: project.path, directory: project.file("reports"), limitMs: 1500, graceMs: 500 });

afterAll(() => {
  runner[Symbol.dispose]();
  project[Symbol.dispose]();
});

const passing = 'import { test } from "bun:test";\ntest("a", () => {});\ntest("b", () => {});\n';
const hang = 'test("hangs", () => new Promise(() => {}), 1e9);\n';
const stubborn = 'import process from "node:process";\nprocess.on("SIGTERM", () => console.log("heard it"));\n';

/** Runs one file of this content. */
async function runFile(name: string, content: string) {
  project.write(`tests/${name}`, content);
  const result = await runner.run(`tests/${name}`);
  return { ...result, totals: sum([result.run], false), said: readFileSync(result.log, "utf8") };
}

test("a file that hangs is ended by SIGTERM and has failed once, whatever of it had passed", async () => {
  const { totals, durationMs } = await runFile("hangs.test.ts", passing + hang);
  expect(closingLine(totals)).toBe("0 passed, 1 failed");
  expect(totals.failures).toEqual(["tests/hangs.test.ts: took longer than 1.5 s, ended with SIGTERM"]);
  expect(durationMs).toBeGreaterThan(1400);
});

test("one that does not heed SIGTERM is ended by SIGKILL", async () => {
  const { totals, said } = await runFile("stubborn.test.ts", passing + stubborn + hang);
  expect(totals.failures).toEqual(["tests/stubborn.test.ts: took longer than 1.5 s, ended with SIGKILL"]);
  expect(said).toContain("heard it");
});

test("one that never comes back from a loop is ended as well, under Deno too", async () => {
  const { totals } = await runFile("loops_test.ts", 'Deno.test("loops", () => { for (;;); });\n');
  expect(totals.failures).toEqual(["tests/loops_test.ts: took longer than 1.5 s, ended with SIGTERM"]);
});

test.each(["SIGSEGV", "SIGKILL", "SIGABRT"])("a process that dies of %s has failed once", async (signal) => {
  const { totals } = await runFile("dies.test.ts", `${passing}process.kill(process.pid, "${signal}");\n`);
  expect(totals.failures).toEqual([`tests/dies.test.ts: ended with ${signal}`]);
});

test("a process that ends too early has failed once", async () => {
  const { totals } = await runFile("ends.test.ts", `${passing}process.exit(0);\n`);
  expect(totals.failures).toEqual(["tests/ends.test.ts: no test of it was run by bun test"]);
});

test("one that goes into another directory keeps its name", async () => {
  const { totals } = await runFile("moves.test.ts", `${passing}process.chdir("/");\n`);
  expect([closingLine(totals), totals.failures]).toEqual(["2 passed, 0 failed", []]);
});

test("the others are counted as if it had not been there", async () => {
  const { run: good } = await runFile("good.test.ts", passing);
  const { run: bad } = await runFile("bad.test.ts", `${passing}test("c", () => { throw 1; });\n`);
  const { run: dead } = await runFile("dead.test.ts", `${passing}process.kill(process.pid, "SIGKILL");\n`);
  expect(closingLine(sum([good, dead, bad], false))).toBe("4 passed, 2 failed");
});

test("neither its processes nor its temporary files outlive it", async () => {
  const { said } = await runFile(
    "leaves.test.ts",
    `${passing}import { mkdtempSync } from "node:fs";\nimport { tmpdir } from "node:os";
    console.log("made", mkdtempSync(tmpdir() + "/x"));
    console.log("started", Bun.spawn(["sleep", "1000"]).pid);\n`,
  );
  const [, made = ""] = /^made (.+)$/m.exec(said) ?? [];
  const [, started = ""] = /^started (\d+)$/m.exec(said) ?? [];
  expect([made !== "", existsSync(made)]).toEqual([true, false]);
  await waitFor("the end of sleep", () => !existsSync(`/proc/${started}/cmdline`) || isDead(started));
});

function isDead(pid: string): boolean {
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

const program = resolve(import.meta.dirname, "../../scripts/test.ts");

test("the whole program: one line a file, what failed, the sum and the exit code", async () => {
  using other = new TempDir();
  mkdirSync(other.file("tests/core"), { recursive: true });
  mkdirSync(other.file("tests/systems"));
  other.write("tests/core/good.test.ts", passing);
  other.write("tests/systems/far.test.ts", passing);
  const here = (...args: readonly string[]) => run([process.execPath, program, ...args], { cwd: other.path });
  const good = await here();
  expect([good.code, good.stdout.trimEnd().split("\n").at(-1)]).toEqual([0, "2 passed, 0 failed"]);
  expect(readFileSync(other.file("build/test/summary"), "utf8")).toBe("2 passed, 0 failed\n");

  other.write("tests/core/crash.test.ts", `${passing}process.kill(process.pid, "SIGSEGV");\n`);
  const bad = await here();
  expect([bad.code, bad.stdout.trimEnd().split("\n").slice(-2)]).toEqual([
    1,
    ["Failed: tests/core/crash.test.ts: ended with SIGSEGV", "2 passed, 1 failed"],
  ]);
  expect(bad.stdout).toMatch(/^ {2}ok {5}tests\/core\/good\.test\.ts: 2 passed, 0 failed \(/m);

  const one = await here("tests/core/good.test.ts");
  expect([one.code, one.stdout.trimEnd().split("\n").at(-1)]).toEqual([0, "2 passed, 0 failed"]);
  const folder = await here("tests/core");
  expect([folder.code, folder.stdout.trimEnd().split("\n").at(-1)]).toEqual([1, "2 passed, 1 failed"]);
  const systems = await here("--systems");
  expect([systems.code, systems.stdout]).toEqual([0, expect.stringContaining("tests/systems/far.test.ts")]);
  expect(readdirSync(other.file("build/test-systems"))).toContain("summary");
  expect(readFileSync(join(other.path, "build/test/summary"), "utf8")).toBe("2 passed, 1 failed\n");

  const none = await here("tests/core/none.test.ts");
  expect([none.code, none.stderr]).toEqual([
    1,
    'Test "tests/core/none.test.ts": no test file, name one such as tests/core/verdict.test.ts\n',
  ]);
});
