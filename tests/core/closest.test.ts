// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { closestWord } from "../../src/core/closest.ts";

const words = ["status", "bans", "ban", "lift", "why", "--json", "config"];

test.each<[string, string | undefined]>([
  ["stauts", "status"],
  ["sttus", "status"],
  ["bns", "bans"],
  ["bna", "ban"],
  ["lit", "lift"],
  ["cnofig", "config"],
  ["wyh", "why"],
  ["elephant", undefined],
  ["x", undefined],
  ["", undefined],
  ["status-of-everything", undefined],
  ["y".repeat(100_000), undefined],
])("%j is meant as %j", (typed, meant) => {
  expect(closestWord(typed, words)).toBe(meant as string);
});
