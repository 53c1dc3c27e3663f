// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { type Ending, OwnDoings } from "../../../src/core/fleet/own_doings.ts";
import { EndingsFile } from "../../../src/daemon/state/endings_file.ts";
import type { Moment } from "../../../src/daemon/state/journal.ts";
import { TempDir } from "../../harness/temp_dir.ts";

const wallMs = 1_800_000_000_000;
const ending: Ending = { atMs: 5000, liftedMs: 5000, keepUntilMs: 900_000 };

function fileAt(path: string, moment: Moment) {
  const own = new OwnDoings();
  const said: string[] = [];
  const file = new EndingsFile(
    path,
    own,
    () => moment,
    (_, message) => void said.push(message),
  );
  file.restore();
  return { own, file, said, endings: () => [...own.endings()] };
}

async function written(path: string): Promise<void> {
  const { own, file } = fileAt(path, { nowMs: 6000, wallMs: wallMs + 6000, boot: "a" });
  own.restore("192.0.2.1", ending);
  own.endingsVersion++;
  await file.save();
}

test("within one boot a lift is of the moment that it was made at, whatever the wall clock says by now", async () => {
  using directory = new TempDir();
  const path = directory.file("lifts");
  for (const stepMs of [3_600_000, -3_600_000]) {
    await written(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const now = { nowMs: 7000, wallMs: wallMs + 7000 + stepMs, boot: "a" };
    const next = fileAt(path, now);
    expect([next.endings(), next.said]).toEqual([[["192.0.2.1", ending]], []]);
    // For the next boot it is written by the clock that is right by now.
    await next.file.save();
    const rebooted = fileAt(path, { nowMs: 1000, wallMs: now.wallMs + 10_000, boot: "b" });
    expect(rebooted.endings()).toEqual([
      ["192.0.2.1", { atMs: 5000 - 16_000, liftedMs: 5000 - 16_000, keepUntilMs: 900_000 - 16_000 }],
    ]);
  }
});

test("nobody waits for the disk but who asks; what is lifted meanwhile is saved too", async () => {
  using directory = new TempDir();
  const path = directory.file("lifts");
  const moment = { nowMs: 6000, wallMs: wallMs + 6000, boot: "a" };
  const { own, file } = fileAt(path, moment);
  const lift = (source: string) => {
    own.restore(source, ending);
    own.endingsVersion++;
  };
  lift("192.0.2.1");
  const saving = file.save();
  expect(readFileSync(path, "utf8")).toBe("");
  lift("192.0.2.2");
  await file.saved();
  await saving;
  expect(fileAt(path, moment).endings()).toEqual([
    ["192.0.2.1", ending],
    ["192.0.2.2", ending],
  ]);
  expect([readdirSync(directory.path), statSync(path).mode & 0o777]).toEqual([["lifts"], 0o600]);
});

test("what an earlier version wrote goes by the wall clock", () => {
  using directory = new TempDir();
  const path = directory.write("lifts", JSON.stringify([["192.0.2.1", wallMs + 5000, null, null]]));
  const { endings, said } = fileAt(path, { nowMs: 7000, wallMs: wallMs + 7000, boot: "a" });
  expect([endings(), said]).toEqual([
    [["192.0.2.1", { atMs: 5000, liftedMs: undefined, keepUntilMs: Number.POSITIVE_INFINITY }]],
    [],
  ]);
});

test("one entry that is none costs no other", () => {
  using directory = new TempDir();
  const bad = [["192.0.2.2", "soon", null, null], ["nobody", 1, 1, 1], ["192.0.2.3/24", 1, 1, 1], null, [], 7];
  const rows = [...bad, ["192.0.2.1", wallMs + 5000, null, null]];
  for (const saved of [rows, { basis: { boot: "a", wallAtBootMs: wallMs }, lifts: rows }]) {
    const path = directory.write("lifts", JSON.stringify(saved));
    const { endings, said } = fileAt(path, { nowMs: 7000, wallMs: wallMs + 7000, boot: "a" });
    expect(endings().map(([source]) => source)).toEqual(["192.0.2.1"]);
    expect(said).toEqual([expect.stringContaining("6 of them have another form, the others are kept")]);
  }
});

test("a file that cannot be read is said, and nothing of it is taken", () => {
  using directory = new TempDir();
  const path = directory.write("lifts", "[[1]]");
  const { endings, said } = fileAt(path, { nowMs: 7000, wallMs, boot: "a" });
  expect([endings(), said]).toEqual([[], [expect.stringContaining(`Cannot read the lifts in "${path}"`)]]);
  expect(readFileSync(path, "utf8")).toBe("[[1]]");
});
