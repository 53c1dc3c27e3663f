// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import type { Sniff } from "../../src/core/sniff.ts";
import { type Verdict, verdict } from "../../src/core/verdict.ts";

const accept: Sniff = { kind: "accept" };
const foreign: Sniff = { kind: "foreign", protocol: "http" };
const more: Sniff = { kind: "more" };
const last: Sniff = { kind: "more", isLast: true };
const relay: Verdict = { kind: "relay", would: undefined };

test.each<[Sniff, boolean, boolean, Verdict]>([
  [accept, false, false, relay],
  [accept, true, false, relay],
  [accept, false, true, relay],
  [accept, true, true, relay],
  [foreign, false, false, { kind: "ban", protocol: "http" }],
  [foreign, true, false, { kind: "ban", protocol: "http" }],
  [foreign, false, true, { kind: "relay", would: { kind: "ban", protocol: "http" } }],
  [foreign, true, true, { kind: "relay", would: { kind: "ban", protocol: "http" } }],
  [more, false, false, { kind: "hold" }],
  [more, false, true, { kind: "hold" }],
  // Silence is no evidence: closed, not banned. A dry run relays it, since it may be a friend of another profile.
  [more, true, false, { kind: "close" }],
  // Nothing that may come decides: closed at once, and a strike.
  [last, false, false, { kind: "close", isStrike: true }],
  [last, true, false, { kind: "close", isStrike: true }],
  [last, false, true, { kind: "relay", would: { kind: "close", isStrike: true } }],
  [more, true, true, { kind: "relay", would: { kind: "close" } }],
])("%j, ended %p, dry run %p", (sniff, ended, dryRun, wanted) => {
  expect(verdict(sniff, { ended, dryRun })).toEqual(wanted);
});
