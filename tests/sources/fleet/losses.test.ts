// SPDX-License-Identifier: Apache-2.0
import { beforeEach, expect, test } from "bun:test";
import { Losses } from "../../../src/sources/fleet/losses.ts";
import { FleetTroubles } from "../../../src/sources/fleet/troubles.ts";

const minute = 60_000;
const closed = new Error("Socket closed unexpectedly");
const refused = new Error("connect ECONNREFUSED 127.0.0.1:6379");
const engine = "The fleet's engine at redis://db";
const there = "info The fleet's engine answers, and the shared table is read";

let nowMs: number;
let log: string[];
let troubles: FleetTroubles;
let losses: Losses;

beforeEach(() => {
  nowMs = 1_000_000;
  log = [];
  troubles = new FleetTroubles((level, message) =>
    log.push(`${level} ${message.replace("; bans stay as they are", "")}`),
  );
  losses = new Losses("redis://db", troubles);
  losses.joined();
});

/** It is lost, so many attempts come to nothing, and it is there again. */
function lost(error: Error, attempts = 0): void {
  losses.failed(error, true, nowMs);
  stays(error, attempts);
}

function stays(error: Error, attempts: number): void {
  for (let attempt = 0; attempt < attempts; attempt++) {
    nowMs += 1000;
    losses.failed(error, false, nowMs);
  }
}

test("one that is there again at once is not told; again within a minute, once that it comes and goes", () => {
  lost(closed);
  losses.joined();
  expect([log, troubles.told()]).toEqual([[], []]);
  for (let times = 0; times < 50; times++) {
    nowMs += 300;
    lost(closed);
    losses.joined();
  }
  expect(log).toEqual([`warn ${engine} is lost again and again`]);
  expect(troubles.told()).toEqual([`${engine} is lost again and again`]);
  losses.tick(nowMs + minute);
  expect(log.length).toBe(1);
  losses.tick(nowMs + minute + 1);
  expect([log.slice(1), troubles.told()]).toEqual([[`info ${engine} was not lost again for 1m`], []]);
});

test("one that stays away is told once, and once more when the reason is known; so is its end", () => {
  lost(closed, 5);
  expect(log).toEqual([`warn ${engine}: ${closed.message}`]);
  stays(refused, 500);
  losses.joined();
  expect(log.slice(1)).toEqual([`warn ${engine}: ${refused.message}`, there]);
});

test("a reason is told at once, the same one again within a minute only where it lasts", () => {
  lost(refused);
  losses.joined();
  expect(log).toEqual([`warn ${engine}: ${refused.message}`, there]);
  log = [];
  for (let times = 0; times < 20; times++) {
    nowMs += 1000;
    lost(refused);
    losses.joined();
  }
  expect(log).toEqual([`warn ${engine} is lost again and again`]);
  log = [];
  lost(refused, 3);
  expect(log).toEqual([`warn ${engine}: ${refused.message}`]);
  losses.joined();
  expect(log.slice(1)).toEqual([there]);
});

test("many reasons, as one with a number in it has, do not fill the log", () => {
  for (let number = 0; number < 500; number++) {
    lost(new RangeError(`a reply of ${number} parts`));
    losses.joined();
    nowMs += 100;
  }
  expect(log.filter((line) => line.includes("a reply of")).length).toBe(20);
});

test("a command that is not known is named, without the script", () => {
  const script = "ERR unknown command 'EVAL', with args beginning with: 'local function short(reply)'";
  for (const [message, said] of [
    [script, 'the command "EVAL"'],
    ["ERR unknown command `EVAL`, with args beginning with: ", 'the command "EVAL"'],
    ["ERR Unknown Redis command called from script script: 3407, on @user_script:5.", "a command that a fleet needs"],
  ] as const) {
    lost(new Error(message));
    const remedy = "use Redis or Valkey 6.2 or newer, without rename-command";
    expect(troubles.told()[0]).toBe(`${engine}: it does not know ${said}: ${remedy}`);
    losses.joined();
    nowMs += 2 * minute;
  }
});
