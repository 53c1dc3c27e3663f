// SPDX-License-Identifier: Apache-2.0
// The one CI command and the checks that have no test of their own elsewhere: what the last line is, what
// the exit code is, and that a missing licence is found.
import { expect, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync } from "node:fs";
import process from "node:process";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";

/** .ci/run over a make that does as told for each target. */
async function ci(lint: string, tests: string, systems = summary("1 passed, 0 failed", 0)) {
  using clone = new TempDir();
  for (const name of [".ci", "bin"]) mkdirSync(clone.file(name));
  cpSync(".ci/run", clone.file(".ci/run"));
  const cases = `lint) ${lint} ;;\ntest) ${tests} ;;\ntest-systems) ${systems} ;;`;
  const fake = clone.write("bin/make", `#!/bin/bash\necho "$1 CI=$CI"\ncase "$1" in\n${cases}\nesac\n`);
  chmodSync(fake, 0o755);
  const path = `${clone.file("bin")}:${process.env["PATH"]}`;
  const { code, stdout, stderr } = await run([clone.file(".ci/run")], { env: { PATH: path }, input: "never read" });
  return { code, lines: `${stdout}${stderr}`.trim().split("\n"), last: stdout.trimEnd().split("\n").at(-1) };
}

/** Of a run of tests that ends with this line and this exit code. */
function summary(line: string, code: number): string {
  return `mkdir -p build/$1; echo "${line}" >build/$1/summary; echo "${line}"; echo "make: Error ${code}" >&2; exit ${code}`;
}

test("lint, then the tests, then those with other systems; the sum is the last line", async () => {
  const { code, lines, last } = await ci("true", summary("5 passed, 0 failed", 0));
  const targets = lines.filter((line) => line.endsWith("CI=true"));
  expect(targets).toEqual(["lint CI=true", "test CI=true", "test-systems CI=true"]);
  expect({ code, last }).toEqual({ code: 0, last: "6 passed, 0 failed" });
});

test("what was skipped is added as well", async () => {
  const tests = summary("5 passed, 0 failed, 3 skipped", 0);
  expect(await ci("true", tests)).toMatchObject({ code: 0, last: "6 passed, 0 failed, 3 skipped" });
  expect(await ci("true", tests, tests)).toMatchObject({ code: 0, last: "10 passed, 0 failed, 6 skipped" });
});

test("a failing test is in the last line and the exit code, in whichever run, and the other one is made", async () => {
  const bad = summary("5 passed, 1 failed", 2);
  expect(await ci("true", bad)).toMatchObject({ code: 2, last: "6 passed, 1 failed" });
  expect(await ci("true", summary("7 passed, 0 failed", 0), bad)).toMatchObject({
    code: 2,
    last: "12 passed, 1 failed",
  });
});

test("a test run that ends without a summary fails", async () => {
  expect(await ci("true", "exit 2")).toMatchObject({ code: 2, last: "1 passed, 1 failed" });
  expect(await ci("true", summary("5 passed, 0 failed", 0), "exit 3")).toMatchObject({
    code: 3,
    last: "5 passed, 1 failed",
  });
  expect(await ci("true", "true")).toMatchObject({ code: 1, last: "1 passed, 1 failed" });
});

test("nothing is tested when lint fails", async () => {
  const { code, last } = await ci("exit 2", summary("5 passed, 0 failed", 0));
  expect({ code, last }).toEqual({ code: 2, last: "lint CI=true" });
});

test("standard input is not read", async () => {
  const { code } = await ci("if read -r line; then exit 1; fi", summary("5 passed, 0 failed", 0));
  expect(code).toBe(0);
});

test("make lists its targets", async () => {
  const { stdout } = await run(["make"]);
  for (const target of [
    "deps",
    "bpf",
    "build",
    "test",
    "test-systems",
    "lint",
    "fmt",
    "bench",
    "demo",
    "clean",
    "install",
  ]) {
    expect(stdout).toMatch(new RegExp(`^  make ${target} +\\S`, "m"));
  }
});

test("a file without its licence is named", async () => {
  using tree = new TempDir();
  mkdirSync(tree.file("bpf"));
  await run(["git", "init", "--quiet", tree.path]);
  tree.write("good.ts", "// SPDX-License-Identifier: Apache-2.0\n");
  tree.write("bpf/good.h", "/* SPDX-License-Identifier: GPL-2.0 */\n");
  expect((await run(["scripts/spdx.sh", tree.path])).code).toBe(0);
  tree.write("bad.ts", "export const x = 1;\n");
  tree.write("bpf/bad.h", "/* SPDX-License-Identifier: Apache-2.0 */\n");
  const { code, stderr } = await run(["scripts/spdx.sh", tree.path]);
  expect(code).toBe(1);
  expect(stderr.match(/"[^"]*bad[^"]*"/g)).toEqual(['"bad.ts"', '"bpf/bad.h"']);
});
