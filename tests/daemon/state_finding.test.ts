// SPDX-License-Identifier: Apache-2.0
// What doctor says of the directory that bans are kept in.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
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
