// SPDX-License-Identifier: Apache-2.0
// What doctor says of the directory that bans are kept in.
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { stateFinding } from "../../src/daemon/state_finding.ts";
import { TempDir } from "../harness/temp_dir.ts";

test("a directory that is there or can be made is good, and its disk is named", () => {
  using directory = new TempDir();
  expect(stateFinding({ state: directory.path })).toMatchObject({ name: "state", state: "good", remedy: null });
  const { state, found } = stateFinding({ state: directory.file("state") });
  expect([state, found]).toEqual([
    "good",
    expect.stringMatching(/\/state, which a start makes, on the disk that is mounted at \//),
  ]);
});

test("one whose disk may be missing, or that is none, is bad", () => {
  using directory = new TempDir();
  const above = directory.file("disk");
  expect(stateFinding({ state: `${above}/state` })).toEqual({
    name: "state",
    state: "bad",
    found: `${above}/state: there is no directory ${above}`,
    remedy: `mount its disk, or mkdir -p ${above}`,
  });
  writeFileSync(above, "");
  expect(stateFinding({ state: above })).toMatchObject({ state: "bad", found: `${above}: it is no directory` });
});

test("a link to a disk that is not mounted is bad, as it is to a start", () => {
  using directory = new TempDir();
  const state = directory.file("state");
  symlinkSync(directory.file("disk/state"), state);
  expect(stateFinding({ state })).toMatchObject({
    ...{ state: "bad", found: `${state}: it leads to a directory that is not there` },
    remedy: "mount its disk",
  });
});

test.if(process.geteuid?.() === 0)("what only root can look at is no fault to somebody else", () => {
  using directory = new TempDir();
  chmodSync(directory.path, 0o755);
  const [root, above] = [directory.file("root"), directory.file("above")];
  for (const path of [root, above]) mkdirSync(path, { mode: 0o700 });
  mkdirSync(`${above}/state`);
  const paths = [root, `${above}/state`, `${above}/none/state`];
  const script = `
    const { stateFinding } = await import(${JSON.stringify(resolve("src/daemon/state_finding.ts"))});
    process.setuid(65_534);
    console.log(JSON.stringify(${JSON.stringify(paths)}.map((state) => stateFinding({ state }))));`;
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(stderr.toString()).toBe("");
  const remedy = "only root sees it: sudo ttgate doctor";
  expect(JSON.parse(stdout.toString())).toMatchObject(
    paths.map(() => ({ state: "warning", found: expect.stringContaining("EACCES"), remedy })),
  );
});
