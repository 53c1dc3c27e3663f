// SPDX-License-Identifier: Apache-2.0
// Whom the fence drops most of: found piece by piece, and as many kept from a large map as from a small one.
import { expect, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import type { FenceRecord } from "../../../src/core/bans/fence.ts";
import { Talkers } from "../../../src/core/bans/talkers.ts";

function recordsOf(packets: readonly number[]): FenceRecord[] {
  return packets.map((count, number) => ({
    prefix: requirePrefix(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`),
    ...{ expiresMs: 1, reason: "http", origin: "sniffer" as const, packets: count, bytes: count * 60 },
    lastSeenMs: undefined,
  }));
}

test("the most are found, in order, whatever the pieces", () => {
  const records = recordsOf(Array.from({ length: 5000 }, (_, number) => (number * 7919) % 5000));
  const talkers = new Talkers();
  talkers.begin();
  for (let start = 0; start < records.length; start += 64) talkers.see(records.slice(start, start + 64));
  expect(talkers.most).toEqual([]);
  talkers.roundOver();
  const expected = Array.from({ length: 20 }, (_, rank) => 4999 - rank);
  expect(talkers.most.map(({ packets }) => packets)).toEqual(expected);
});

test("who was dropped nothing of is none, and a round that begins anew forgets", () => {
  const talkers = new Talkers();
  talkers.begin();
  talkers.see(recordsOf([3, 0, 5]));
  talkers.begin();
  talkers.see(recordsOf([3, 0, 5]));
  talkers.roundOver();
  expect(talkers.most.map(({ packets }) => packets)).toEqual([5, 3]);
});
