// SPDX-License-Identifier: Apache-2.0
// COUNT random first packets of friends of many shapes: how many does `tapetrack` call foreign, and what
// does a profile say that was learned from others of the same shape?
// `bun tests/bench/learned_friends.ts [COUNT] [SHAPES] [SAMPLES] [SEED]`; prints one JSON object. Exit code 1
// when the targets of docs/signatures.md are missed.
import process from "node:process";
import { loadSniffer } from "../../src/config/profile.ts";
import { friendShape } from "../vectors/friend_shapes.ts";
import { learnShape, type Tally, tryFriends } from "../vectors/learned_friends.ts";

const [countText = "10000000", shapesText = "100", samplesText = "200", seedText = "1"] = process.argv.slice(2);
const [count, shapes, samples, seed] = [countText, shapesText, samplesText, seedText].map(Number) as [
  number,
  number,
  number,
  number,
];
const each = Math.ceil(count / shapes);
/** Fewer than ten of ten million. */
const foreignLimit = count / 1_000_000;

const startedMs = performance.now();
const byTapetrack = emptyTally();
const byLearned = emptyTally();
const worst: { shape: string; foreign: number; undecided: number }[] = [];
const tapetrack = loadSniffer("tapetrack");
for (let number = 0; number < shapes; number++) {
  const shape = friendShape(number);
  const { sniffer } = learnShape(shape, samples);
  add(byTapetrack, tryFriends(tapetrack, shape.friends(seed + number + 2), each));
  const tally = tryFriends(sniffer, shape.friends(seed + number + 2), each);
  add(byLearned, tally);
  if (tally.foreign + tally.undecided > 0) worst.push({ shape: shape.words, ...tally });
}
worst.sort((a, b) => b.foreign - a.foreign);
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(JSON.stringify({ shapes, samples, seed, byTapetrack, byLearned, worst: worst.slice(0, 10), seconds }));
const reached = byTapetrack.foreign < foreignLimit && byTapetrack.flipped === 0 && byLearned.flipped === 0;
process.exit(reached ? 0 : 1);

function emptyTally(): Tally {
  return { count: 0, accepted: 0, foreign: 0, undecided: 0, flipped: 0 };
}

function add(sum: Tally, tally: Tally): void {
  sum.count += tally.count;
  sum.accepted += tally.accepted;
  sum.foreign += tally.foreign;
  sum.undecided += tally.undecided;
  sum.flipped += tally.flipped;
}
