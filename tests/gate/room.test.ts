// SPDX-License-Identifier: Apache-2.0
// The limit of connections: never above what the open files allow, and no secret when it is reached.
import { beforeEach, expect, test } from "bun:test";
import { Room } from "../../src/gate/room.ts";

let told: string[];
let room: Room;

beforeEach(() => {
  told = [];
  room = new Room((_level, message) => void told.push(message));
});

test.each([
  ["as many as the open files allow", undefined, 65_536, 32_704, []],
  ["fewer, where they are asked for", 500, 65_536, 500, []],
  ["few, since the open files are few", undefined, 200, 36, ["No more than 36 connections at a time"]],
  ["not those that the open files do not allow", 3000, 200, 36, ["Not --max-connections 3000 but 36"]],
] as const)("a gate holds %s", (_name, wanted, files, limit, lines) => {
  room.resize("bun", wanted, files);
  room.announce(wanted);
  expect(room.limit).toBe(limit);
  expect(told).toHaveLength(lines.length);
  for (const [index, line] of lines.entries()) expect(told[index]).toContain(line);
  for (const line of told) expect(line).toContain(`${files} open files are allowed: ulimit -n`);
});

test("the same limit is told once, however often the gate pauses", () => {
  for (const files of [200, 200, 200, 300, 300, 65_536, 300]) {
    room.resize("bun", undefined, files);
    room.announce(undefined);
  }
  expect(told.map((line) => /since only (\d+)/.exec(line)?.[1])).toEqual(["200", "300", "300"]);
});

test("who is turned away is told of at once, then once a minute, and in /readyz for ten seconds", () => {
  room.resize("bun", undefined, 200);
  expect(room.fault(0)).toBeUndefined();
  for (let nowMs = 0; nowMs < 30_000; nowMs += 10) {
    room.turnedAway(nowMs);
    room.tick(nowMs);
  }
  const taken =
    "all 36 places are taken (200 open files are allowed: ulimit -n 65536, or LimitNOFILE=65536 in the unit)";
  expect(told).toEqual([`Turned away a connection: ${taken}`]);
  expect(room.fault(39_000)).toBe(`Connections are turned away: ${taken}`);
  expect(room.fault(41_000)).toBeUndefined();
  room.tick(60_000);
  expect(told.slice(1)).toEqual([`Turned away 2999 more connections within 1m: ${taken}`]);
  room.resize("bun", 10, 65_536);
  room.turnedAway(200_000);
  expect(room.fault(200_000)).toContain("all 10 places are taken (raise --max-connections)");
});
