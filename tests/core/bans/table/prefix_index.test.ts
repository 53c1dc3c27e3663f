// SPDX-License-Identifier: Apache-2.0
// Rows are found while they come and go: compared with a map, through growth, emptying and rows that replace others.
import { expect, test } from "bun:test";
import { type Prefix, prefixFromWords } from "../../../../src/core/address.ts";
import type { Ban } from "../../../../src/core/bans/claim.ts";
import { ClaimRows } from "../../../../src/core/bans/table/claim_rows.ts";
import { PrefixIndex } from "../../../../src/core/bans/table/prefix_index.ts";
import { none } from "../../../../src/core/bans/table/slab.ts";
import { createFractions } from "../../../harness/random.ts";

const sources = 30_000;

function sourceAt(number: number): Prefix {
  // Neighbours, and IPv6 networks of several lengths with the same address.
  if (number % 3 === 0) return prefixFromWords([0x20010db8, number & ~255, 0, 0], 56 + (number % 2) * 8);
  return prefixFromWords([0, 0, 0xffff, 0x0a000000 + number]);
}

function setUp() {
  const rows = new ClaimRows();
  const index = new PrefixIndex(rows);
  const known = new Map<string, number>();
  const claim = { origin: "sniffer" as const, reason: "http", sinceMs: 0, untilMs: 1000, evidence: undefined };
  const add = (prefix: Prefix) => {
    const row = rows.add({ ...claim, prefix, others: [], standsIn: undefined } satisfies Ban);
    index.add(row);
    known.set(prefix.text, row);
  };
  const remove = (prefix: Prefix) => {
    const row = known.get(prefix.text) ?? none;
    index.remove(row);
    rows.release(row);
    known.delete(prefix.text);
  };
  const differences = () => {
    let count = 0;
    for (let number = 0; number < sources; number++) {
      const source = sourceAt(number);
      if (index.find(source) !== (known.get(source.text) ?? none)) count++;
    }
    return count;
  };
  return { index, known, add, remove, differences };
}

test("what is in it is found, and nothing else, while it grows and shrinks", () => {
  const { known, add, remove, differences } = setUp();
  const fraction = createFractions(1);
  const found: number[] = [];
  for (const share of [0.2, 1, 0.5, 0.9, 0.02, 0.6, 0]) {
    for (let number = 0; number < sources; number++) {
      const source = sourceAt(number);
      const isWanted = fraction() < share;
      if (known.has(source.text) === isWanted) continue;
      if (isWanted) add(source);
      else remove(source);
    }
    expect(differences()).toBe(0);
    found.push(known.size);
  }
  expect([Math.max(...found) > 20_000, found.at(-1)]).toEqual([true, 0]);
});

test("rows that come and go for ever leave it as it was", () => {
  const { index, known, add, remove, differences } = setUp();
  // Each leaves a place behind: of a thousand there are none left after some turns of this.
  for (let number = 0; number < sources; number++) {
    const [gone, come] = [sourceAt(Math.max(0, number - 500)), sourceAt(number)];
    if (known.has(gone.text)) remove(gone);
    if (!known.has(come.text)) add(come);
  }
  expect(differences()).toBe(0);
  expect(index.find(sourceAt(sources + 1))).toBe(none);
});
