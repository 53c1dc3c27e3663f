// SPDX-License-Identifier: Apache-2.0
// How many of COUNT random first packets of a friend does a profile call foreign?
// `bun tests/bench/matcher_friends.ts [COUNT] [PROFILE] [SEED]`; each packet is judged twice, while the
// client may still send and after it fell silent. Prints one JSON object.

import process from "node:process";
import { loadSniffer } from "../../src/config/profile.ts";
import { createFriends } from "../vectors/friends.ts";

const [countText = "10000000", profile = "tapetrack", seedText = "1"] = process.argv.slice(2);
const count = Number(countText);
const friends = createFriends(Number(seedText));
const sniffer = loadSniffer(profile);

const tally = { foreign: 0, notAtOnce: 0, undecided: 0 };
const examples: string[] = [];
const startedMs = performance.now();
for (let index = 0; index < count; index++) {
  const bytes = friends.next();
  const atOnce = sniffer.sniff(bytes, false);
  if (atOnce.kind === "accept") continue;
  if (atOnce.kind === "more") tally.notAtOnce++;
  const final = sniffer.sniff(bytes, true);
  if (final.kind === "more") tally.undecided++;
  if (final.kind !== "foreign") continue;
  tally.foreign++;
  const head = Array.from(bytes.subarray(0, 48), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (examples.length < 20) examples.push(`${final.protocol} ${head}`);
}
console.log(
  JSON.stringify({ profile, count, ...tally, seconds: Math.round((performance.now() - startedMs) / 1000), examples }),
);
