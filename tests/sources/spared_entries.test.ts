// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { SparedEntries } from "../../src/sources/spared_entries.ts";

const conflict = { prefix: requirePrefix("10.0.0.0/8"), why: "--allow" };

function round(entries: SparedEntries, sources: readonly string[]): void {
  entries.begin();
  for (const source of sources) entries.see(source, conflict);
  entries.roundOver();
}

test("twenty are named, the others counted, and each round says nothing new", () => {
  const told: string[] = [];
  const entries = new SparedEntries((_level, message) => told.push(message), true);
  const all = Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  round(entries, all);
  expect(told).toHaveLength(21);
  expect(told[0]).toBe("Removed from the map: 10.0.0.0, which blocked 10.0.0.0/8 (--allow) and is never banned");
  expect(told[20]).toStartWith("Removed from the map: 980 more entries than those that were named");
  round(entries, all);
  expect(told).toHaveLength(21);
  // One of those that were named was taken out: the next is.
  round(entries, all.slice(1));
  expect(told.slice(21)).toEqual([expect.stringContaining("10.0.0.20, which blocked 10.0.0.0/8 (--allow)")]);
});

test("where nothing is taken out nothing is said to be", () => {
  const told: string[] = [];
  const entries = new SparedEntries((_level, message) => told.push(message), false);
  const all = Array.from({ length: 30 }, (_, number) => `10.0.0.${number}`);
  for (let times = 0; times < 2; times++) round(entries, all);
  expect(told).toHaveLength(21);
  expect(told[0]).toBe(
    "The map holds 10.0.0.0, which covers 10.0.0.0/8 (--allow) and is never banned: a dry run takes nothing out",
  );
  expect(told[20]).toBe("The map holds 10 more entries than those that were named, for the same");
});

test("one that is written again is told again", () => {
  const told: string[] = [];
  const entries = new SparedEntries((_level, message) => told.push(message), true);
  for (const sources of [["10.0.0.1"], ["10.0.0.1"], [], ["10.0.0.1"]]) round(entries, sources);
  expect(told).toHaveLength(2);
});

test("of a range it is said that nobody of it is blocked any more", () => {
  const told: string[] = [];
  round(new SparedEntries((_level, message) => told.push(message), true), ["10.0.0.0/7"]);
  expect(told).toEqual([
    "Removed from the map: 10.0.0.0/7, which blocked 10.0.0.0/8 (--allow) and is never banned; nobody else of it is blocked either: write smaller ranges around that address",
  ]);
});
