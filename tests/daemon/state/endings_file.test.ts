// SPDX-License-Identifier: Apache-2.0
import { afterAll, expect, test } from "bun:test";
import { OwnDoings } from "../../../src/core/fleet/own_doings.ts";
import { EndingsFile } from "../../../src/daemon/state/endings_file.ts";
import { TempDir } from "../../harness/temp_dir.ts";

const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

const moment = { nowMs: 1000, wallMs: 1_800_000_000_000 };
const bootMs = moment.wallMs - moment.nowMs;

function restored(content: string): { readonly own: OwnDoings; readonly told: readonly string[] } {
  const own = new OwnDoings();
  const told: string[] = [];
  const path = directory.write("lifts", content);
  new EndingsFile(
    path,
    own,
    () => moment,
    (_level, message) => told.push(message),
  ).restore();
  return { own, told };
}

test("one entry that is none costs no other", () => {
  const good = ["192.0.2.1", bootMs + 10, bootMs + 20, null];
  const bad = [["192.0.2.2", "soon", null, null], ["nobody", 1, 1, 1], ["192.0.2.3/24", 1, 1, 1], null, [], 7];
  const { own, told } = restored(JSON.stringify([...bad, good]));
  expect([...own.endings()]).toEqual([
    ["192.0.2.1", { atMs: 10, liftedMs: 20, keepUntilMs: Number.POSITIVE_INFINITY }],
  ]);
  expect(told).toEqual([
    expect.stringMatching(
      /^Cannot read the lifts in ".*": 6 of them have another form, the others are kept; the fleet's/,
    ),
  ]);
});

test.each(["[", "{}", "null", "\u0000"])("a file that is none (%j) is told, and no more", (content) => {
  const { own, told } = restored(content);
  expect([[...own.endings()].length, told.length]).toEqual([0, 1]);
});
