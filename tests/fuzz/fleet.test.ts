// SPDX-License-Identifier: Apache-2.0
// A gate of the fleet that was taken over writes anything into its part of the shared table: what it can do stays
// within its limits, whatever it writes can be shown and saved, and the bans of the gate's own end by nothing but a
// lift that it may give.
import { expect, setDefaultTimeout, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { claimsOf } from "../../src/core/bans/claim.ts";
import type { Entry } from "../../src/core/fleet/fleet_table.ts";
import { journalLine } from "../../src/daemon/state/journal.ts";
import { banDetails } from "../../src/status/snapshot.ts";
import { Member, Memory } from "../core/fleet/bed.ts";
import { pick, type Random } from "../harness/random.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const own = ["192.0.2.1", "192.0.2.2", "2001:db8::/64", "198.51.100.0/24"];
const allowed = "192.0.2.77";
const limits = { rate: 20, most: 30 };

const names = [
  ...own,
  allowed,
  ...["0.0.0.0/0", "::/0", "::1", "127.0.0.1", "fe80::1", "2001:db8::1", "2001:db8::/63", "192.0.2.01", "192.0.2.1/32"],
  ...["::ffff:192.0.2.1", "", "x", "__proto__", "192.0.2.1\u0000"],
];

function name(random: Random): string {
  return random(3) > 0 ? `10.0.${random(4)}.${random(256)}` : pick(random, names);
}

function time(random: Random, nowMs: number): string {
  const near = nowMs + random(2_000_000) - 1_000_000;
  return pick(random, [
    "0",
    "1",
    String(near),
    String(nowMs + 86_400_000),
    "8640000000000000",
    "9".repeat(16),
    "-1",
    "1e9",
  ]);
}

function record(random: Random, nowMs: number): string {
  const seen = pick(random, [
    "-",
    "00ff,192.0.2.9,1,2",
    ",::1,99999,0",
    "zz,1,1,1",
    `${"41".repeat(64)},::,0,0`,
    "00,......,1,1",
  ]);
  const text = `${time(random, nowMs)} ${time(random, nowMs)} ${time(random, nowMs)} ${pick(random, ["http", "a".repeat(70), "lifted", "ü"])} ${seen}`;
  if (random(5) > 0) return text;
  const encoder = new TextEncoder();
  return new TextDecoder().decode(mutateBytes(random, encoder.encode(text), encoder.encode(text)));
}

const start = new Memory().nowMs;

/** Batches of entries, a minute between two of them. */
function next(random: Random): Uint8Array {
  const batches = Array.from({ length: 3 }, (_, minute) =>
    Array.from(
      { length: 60 },
      (): Entry => [name(random), random(20) === 0 ? null : record(random, start + minute * 60_000)],
    ),
  );
  return new TextEncoder().encode(JSON.stringify(batches));
}

interface Held {
  readonly of: string;
  readonly untilMs: number;
}

function check(bytes: Uint8Array): void {
  const batches = JSON.parse(new TextDecoder().decode(bytes)) as Entry[][];
  const memory = new Memory();
  const gate = new Member("own", memory, 1_000_000, {
    ...{ rate: () => limits.rate, most: () => limits.most, neverBan: [allowed] },
    trusts: (peer) => peer !== "stranger",
  });
  for (const source of own) gate.ban(source, 3_600_000, "operator");
  for (const batch of batches) {
    const before = held(gate);
    gate.table.apply("taken", batch, gate.nowMs);
    requireLimits(gate, before);
    requireShown(gate);
    memory.nowMs += 60_000;
    gate.announce();
  }
}

function held(gate: Member): Held[] {
  return [...gate.enforcement.bans.all()].flatMap((ban) =>
    claimsOf(ban, gate.nowMs).map(({ origin, untilMs }) => ({ of: `${ban.prefix.text} ${origin}`, untilMs })),
  );
}

function requireLimits(gate: Member, before: readonly Held[]): void {
  const after = held(gate);
  const had = new Set(before.map(({ of }) => of));
  const has = new Set(after.map(({ of }) => of));
  const more = [...has.difference(had)];
  const less = before.filter(({ of, untilMs }) => untilMs > gate.nowMs && of.endsWith(" operator") && !has.has(of));
  if (more.length + less.length > limits.rate) throw new Error(`${more.length} more and ${less.length} less at once`);
  const theirs = after.filter(({ of }) => of.endsWith(" gate:taken"));
  if (theirs.length > limits.most) throw new Error(`${theirs.length} of the other gate's`);
  for (const of of more) {
    const { bits, ipv4, text } = requirePrefix(of.split(" ")[0] ?? "");
    if (text === allowed || bits < (ipv4 ? 128 : 64) || !of.endsWith(" gate:taken")) throw new Error(`Took "${of}"`);
  }
  if (!has.has("198.51.100.0/24 operator")) throw new Error("A range is nobody's to lift");
}

/** No number in it is none, and no time beyond all dates. */
function requireShown(gate: Member): void {
  const moment = { nowMs: gate.nowMs, wallMs: start };
  for (const ban of gate.enforcement.bans.all()) {
    JSON.stringify(banDetails(ban, { record: undefined, refused: { by: "kernel", why: null } }, moment));
    journalLine({ source: ban.prefix.text, claims: claimsOf(ban, gate.nowMs), offender: undefined }, moment);
  }
}

test("a gate that was taken over can do no more than its limits", async () => {
  expect(await fuzz({ name: "fleet", next, check }, 300)).toBeGreaterThanOrEqual(300);
});
