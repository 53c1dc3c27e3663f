// SPDX-License-Identifier: Apache-2.0
// What make says on a host that has not got what it needs: one line that names it, before anything is built.
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";

const tools = ["awk", "bash", "date", "dpkg", "find", "gcc", "git", "grep", "make", "node", "npm", "sed", "sh", "sort"];

/** What this host's make needs to come as far as it can, but for some. */
function pathWithout(...programs: readonly string[]): TempDir {
  const place = new TempDir();
  for (const name of tools) {
    if (!programs.includes(name)) symlinkSync(Bun.which(name) ?? "", place.file(name));
  }
  return place;
}

const advice = (...packages: readonly string[]) => {
  const all = packages.join(" ");
  return `Missing on this host: ${all}: install them (Debian, Ubuntu: apt-get install ${all}) and run make again`;
};

test.each([
  [["gcc"], ["gcc"]],
  [["npm"], ["npm"]],
  [
    ["node", "npm", "gcc"],
    ["nodejs", "npm", "gcc"],
  ],
])("without %s make says what to install, and does nothing", async (programs, packages) => {
  using path = pathWithout(...programs);
  const { code, stdout, stderr } = await run(["make", "bpf"], { env: { PATH: path.path } });
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^[^\n]+\n$/);
  expect(stderr).toContain(advice(...packages));
});

test("plain make says so before its targets", async () => {
  using path = pathWithout("gcc");
  const { code, stdout } = await run(["make"], { env: { PATH: path.path } });
  expect([code, stdout.split("\n")[0]]).toEqual([0, advice("gcc")]);
  expect(stdout).toContain("make bpf ");
});
