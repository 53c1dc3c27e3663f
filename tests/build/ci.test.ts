// SPDX-License-Identifier: Apache-2.0
// The one CI command and the checks that have no test of their own elsewhere: what the last line is, what
// the exit code is, and that a missing licence is found.
import { expect, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync } from "node:fs";
import process from "node:process";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";

/** .ci/run over a make that does as told for each target. */
async function ci(lint: string, tests: string) {
  using clone = new TempDir();
  for (const name of [".ci", "bin"]) mkdirSync(clone.file(name));
  cpSync(".ci/run", clone.file(".ci/run"));
  const cases = `lint) ${lint} ;;\ntest) mkdir -p build/test; ${tests} ;;`;
  const fake = clone.write("bin/make", `#!/bin/bash\necho "$1 CI=$CI"\ncase "$1" in\n${cases}\nesac\n`);
  chmodSync(fake, 0o755);
  const path = `${clone.file("bin")}:${process.env["PATH"]}`;
  const { code, stdout, stderr } = await run([clone.file(".ci/run")], { env: { PATH: path }, input: "never read" });
  return { code, lines: `${stdout}${stderr}`.trim().split("\n"), last: stdout.trimEnd().split("\n").at(-1) };
}

function summary(line: string, code: number): string {
  return `echo "${line}" >build/test/summary; echo "${line}"; echo "make: Error ${code}" >&2; exit ${code}`;
}

test("lint, then the tests, whose line is the last", async () => {
  const { code, lines, last } = await ci("true", summary("5 passed, 0 failed", 0));
  expect(lines.slice(0, 2)).toEqual(["lint CI=true", "test CI=true"]);
  expect({ code, last }).toEqual({ code: 0, last: "5 passed, 0 failed" });
});

test("a failing test is the last line and the exit code", async () => {
  const { code, last } = await ci("true", summary("5 passed, 1 failed", 2));
  expect({ code, last }).toEqual({ code: 2, last: "5 passed, 1 failed" });
});

test("a test run that ends without a summary fails", async () => {
  const { code, last } = await ci("true", "exit 2");
  expect({ code, last }).toEqual({ code: 2, last: "test CI=true" });
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
  for (const target of ["deps", "bpf", "build", "test", "lint", "fmt", "bench", "demo", "clean", "install"]) {
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
