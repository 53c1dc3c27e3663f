// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import process from "node:process";
import fc from "fast-check";
import { addressHead, contains, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import {
  type Ban,
  type Claim,
  claimsOf,
  type Evidence,
  everywhere,
  isAskedForByOperator,
} from "../../../src/core/bans/claim.ts";
import { Client } from "../../../src/core/client.ts";
import { createFractions } from "../../harness/random.ts";

/** Another origin, place, evidence and so on for each number, of which some have claims of several. */
function claimOf(seed: number, sinceMs: number, untilMs: number): Claim {
  const origins = ["sniffer", "operator", "list:x", "gate:a"] as const;
  return {
    ...{ origin: origins[seed % 4] ?? "map", reason: `protocol ${seed % 7}`, sinceMs, untilMs },
    evidence: seed % 3 === 0 ? undefined : evidenceOf(seed),
    gate: [undefined, "one", "two"][seed % 3],
    isLocal: seed % 5 === 0 && seed % 3 !== 0 ? true : undefined,
  };
}

function evidenceOf(seed: number): Evidence {
  const seen = {
    firstBytes: Uint8Array.from({ length: (seed * 13) % 65 }, (_, at) => (seed * 31 + at) & 255),
    clientAddress: addresses[seed % addresses.length] ?? "",
    ...{ clientPort: (seed * 4711) & 0xffff, gatePort: 65_535 - (seed & 255) },
  };
  const canonical = { ...seen, clientAddress: requirePrefix(seen.clientAddress).text };
  return seed % 2 === 0 ? canonical : { ...canonical, bet: { expert: `expert ${seed % 4}`, bits: seed / 7, byte: 44 } };
}

const maps = ["ipv4", "ipv6", "fold", undefined];

function banOf(text: string, untilMs: number, sinceMs = 0, seed = 0): Ban {
  const others = Array.from({ length: seed % 11 === 0 ? seed % 4 : 0 }, (_, at) =>
    claimOf(seed + at + 1, sinceMs - at, sinceMs + 1),
  );
  return { prefix: requirePrefix(text), ...claimOf(seed, sinceMs, untilMs), others, standsIn: maps[seed % 4] };
}

/** For comparisons: whatever keeps it. */
function plain(ban: Ban | undefined): unknown {
  return ban && { ...plainClaim(ban), prefix: ban.prefix.text, others: ban.others.map(plainClaim) };
}

function plainClaim<T extends Claim>(claim: T): object {
  if (claim.evidence === undefined) return { ...claim };
  const { firstBytes, clientAddress, clientPort, gatePort, bet } = claim.evidence;
  return { ...claim, evidence: { firstBytes, clientAddress, clientPort, gatePort, bet } };
}

function textOf(ban: Ban | undefined): string | undefined {
  return ban?.prefix.text;
}

function client(address: string, ipv6Bits = 64): Client {
  return new Client(address, 4711, ipv6Bits);
}

/** Few addresses, close together, so that ranges and sources meet; ::/64 is beside IPv4's place. */
const addresses = [
  "192.0.2.1",
  "192.0.2.2",
  "192.0.3.1",
  "::1",
  "::ffff:192.0.2.1",
  "2001:db8::1",
  "2001:db8::2",
  "2001:db8:0:1::1",
];
const address = fc.constantFrom(...addresses);
const range = fc
  .tuple(address, fc.constantFrom(0, 8, 23, 24, 31, 32, 48, 56, 64, 65, 96, 120, 127, 128))
  .map(([text, bits]) => requirePrefix(`${text}/${text.includes(":") ? bits : Math.min(32, bits)}`).text);

/** Holds the table against a list that is looked through from end to end. */
class Compared {
  readonly #bans: Bans;
  readonly #ipv6Bits: number;
  #list: Ban[] = [];
  #nowMs = 1_000_000;

  constructor(capacity: number, ipv6Bits: number) {
    this.#bans = new Bans(capacity, ipv6Bits);
    this.#ipv6Bits = ipv6Bits;
  }

  add(text: string, forMs: number, seed: number): void {
    const ban = banOf(text, this.#nowMs + forMs, this.#nowMs, seed);
    const at = this.#list.findIndex((other) => other.prefix.text === text);
    const isFull = at < 0 && this.#list.length === this.#bans.capacity;
    const evicted = this.#bans.add(ban);
    expect(evicted !== undefined).toBe(isFull);
    if (evicted !== undefined) {
      this.#expectSoonest(evicted, this.#list);
      this.#list = this.#list.filter((other) => textOf(other) !== textOf(evicted));
    }
    if (at < 0) this.#list.push(ban);
    else this.#list[at] = ban;
  }

  remove(text: string): void {
    const wanted = this.#list.find((ban) => ban.prefix.text === text);
    expect(plain(this.#bans.remove(requirePrefix(text)))).toEqual(plain(wanted));
    this.#list = this.#list.filter((ban) => ban !== wanted);
  }

  stand(text: string, map: string | undefined): void {
    const ban = this.#bans.byText(text);
    const known = this.#list.find((other) => other.prefix.text === text);
    expect(plain(ban)).toEqual(plain(known));
    if (ban === undefined || known === undefined) return;
    this.#bans.stand(ban, map);
    known.standsIn = map;
    expect(ban.standsIn).toBe(map);
  }

  pass(ms: number, limit: number): void {
    this.#nowMs += ms;
    const ended = this.#bans.due(this.#nowMs, limit);
    const over = this.#list.filter((ban) => ban.untilMs <= this.#nowMs);
    expect(ended).toHaveLength(Math.min(limit, over.length));
    for (const ban of ended) expect(over.map(plain)).toContainEqual(plain(ban));
    const texts = new Set(ended.map(textOf));
    this.#list = this.#list.filter((ban) => !texts.has(textOf(ban)));
  }

  check(): void {
    expect(this.#bans.size).toBe(this.#list.length);
    expect([...this.#bans.all()].map(plain)).toEqual(this.#list.map(plain));
    const fenced = this.#list.map((ban) => [textOf(ban), ban.standsIn, everywhere(ban)?.untilMs]);
    this.#bans.beginRound();
    const outlines = [...this.#bans.unmet()].flat();
    expect(outlines.map(({ prefix: of, standsIn, untilMs }) => [of.text, standsIn, untilMs])).toEqual(fenced);
    const found = [...this.#bans.tickets()].map((ticket) => this.#bans.byTicket(ticket));
    expect(found.map(textOf)).toEqual(this.#list.map(textOf));
    for (const map of maps) this.#checkMap(map);
    for (const from of addresses) for (const gate of [undefined, "one", "two"]) this.#checkClient(from, gate);
    this.#expectSoonest(this.#bans.soonest(), this.#list);
  }

  #checkMap(map: string | undefined): void {
    const standing = this.#list.filter(({ standsIn }) => standsIn === map);
    expect(this.#bans.standing(map)).toBe(standing.length);
    if (map !== undefined) this.#expectSoonest(this.#bans.soonestIn(map), standing);
  }

  #checkClient(from: string, gate: string | undefined): void {
    const single = requirePrefix(from);
    const holds = (ban: Ban) =>
      gate === undefined || claimsOf(ban, this.#nowMs).some((claim) => claim.isLocal !== true || claim.gate === gate);
    const covering = this.#list.filter(
      (ban) => ban.untilMs > this.#nowMs && contains(ban.prefix, single) && holds(ban),
    );
    const found = this.#bans.find(client(from, this.#ipv6Bits), this.#nowMs, gate);
    const standing = this.#bans.standingOf(client(from, this.#ipv6Bits), this.#nowMs, gate);
    expect([found !== undefined, standing?.map]).toEqual([covering.length > 0, found?.standsIn]);
    if (found !== undefined) expect(covering.map(plain)).toContainEqual(plain(found));
  }

  /** Questions about a prefix. */
  ask(text: string): void {
    const prefix = requirePrefix(text);
    const covering = this.#list
      .filter((ban) => ban.untilMs > this.#nowMs && contains(ban.prefix, prefix))
      .toSorted((a, b) => b.prefix.bits - a.prefix.bits);
    expect(textOf(this.#bans.covering(prefix, this.#nowMs))).toBe(textOf(covering[0]));
    const inside = this.#list.filter((ban) => contains(prefix, ban.prefix));
    const found = [...this.#bans.within(prefix)].flat();
    expect(found.map((one) => one.text)).toEqual(inside.map((ban) => ban.prefix.text));
    if (this.#bans.isAlone(prefix)) expect(inside.length).toBeLessThan(2);
    expect(plain(this.#bans.get(prefix))).toEqual(plain(this.#list.find((ban) => ban.prefix.text === text)));
  }

  /** What an operator asked for makes room only where nothing else ends. */
  #expectSoonest(given: Ban | undefined, all: readonly Ban[]): void {
    const others = all.filter((ban) => !isAskedForByOperator(ban));
    const among = others.some(({ untilMs }) => Number.isFinite(untilMs)) ? others : all;
    const soonestMs = Math.min(...among.map((ban) => ban.untilMs));
    if (Number.isFinite(soonestMs)) expect(given?.untilMs).toBe(soonestMs);
    else if (given !== undefined) expect(textOf(given)).toBe(textOf(among[0]));
  }
}

type Step = (compared: Compared) => void;

const forMs = fc.oneof(fc.nat(5000), fc.nat(60_000), fc.constant(Number.POSITIVE_INFINITY));
const prefix = fc.oneof(
  address.map((text) => requirePrefix(text).text),
  range,
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(prefix, forMs, fc.nat(10_000)).map(
      ([text, ms, seed]): Step =>
        (compared) =>
          compared.add(text, ms, seed),
    ),
  },
  prefix.map(
    (text): Step =>
      (compared) =>
        compared.remove(text),
  ),
  fc.tuple(prefix, fc.constantFrom(...maps)).map(
    ([text, map]): Step =>
      (compared) =>
        compared.stand(text, map),
  ),
  prefix.map(
    (text): Step =>
      (compared) =>
        compared.ask(text),
  ),
  fc.tuple(fc.nat(4000), fc.constantFrom(Number.POSITIVE_INFINITY, 1)).map(
    ([ms, limit]): Step =>
      (compared) =>
        compared.pass(ms, limit),
  ),
);

test("the table does what looking through a list would do", () => {
  const capacity = fc.constantFrom(1, 2, 5, 1000);
  const ipv6Bits = fc.constantFrom(48, 64, 65, 128);
  fc.assert(
    fc.property(capacity, ipv6Bits, fc.array(step, { maxLength: 50 }), (most, bits, steps) => {
      const compared = new Compared(most, bits);
      for (const next of steps) {
        next(compared);
        compared.check();
      }
    }),
    { numRuns: 120 },
  );
});

test("seventy-five thousand changes among close neighbours leave what a Map would hold", () => {
  const random = createFractions(1);
  const bans = new Bans(1_000_000, 64);
  const model = new Map<string, Ban>();
  const textAt = (number: number) =>
    number % 3 === 0
      ? `2001:db8:${(number >> 4).toString(16)}:${(number & 15).toString(16)}::/64`
      : `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
  // Grows over many chunks, shrinks to nearly nothing, and grows again.
  for (const [changes, removals] of [
    [30_000, 0.2],
    [30_000, 0.9],
    [15_000, 0.3],
  ] as const) {
    for (let change = 0; change < changes; change++) {
      const text = requirePrefix(textAt(Math.floor(random() * 25_000))).text;
      if (random() < removals) {
        const removed = textOf(bans.remove(requirePrefix(text)));
        if (removed !== textOf(model.get(text))) throw new Error(`${removed} was removed for ${text}`);
        model.delete(text);
      } else {
        const ban = banOf(text, Math.floor(random() * 1_000_000), change, Math.floor(random() * 10_000));
        bans.add(ban);
        model.set(text, ban);
      }
    }
    expect(bans.size).toBe(model.size);
    const all = [...bans.all()];
    expect(all.map(textOf).join()).toBe([...model.keys()].join());
    for (const ban of all) if (random() < 0.02) expect(plain(ban)).toEqual(plain(model.get(ban.prefix.text)));
    for (const [text, ban] of model) if (bans.byText(text)?.untilMs !== ban.untilMs) throw new Error(text);
  }
  const ends = [...model.values()].map(({ untilMs }) => untilMs).sort((a, b) => a - b);
  const due = Array.from({ length: 101 }, (_, step) => bans.due(step * 10_000).length);
  expect(due.reduce((sum, count) => sum + count, 0)).toBe(ends.length);
  expect(due[50]).toBe(ends.filter((untilMs) => untilMs > 490_000 && untilMs <= 500_000).length);
  expect(bans.size).toBe(0);
});

test("evidence beyond what is kept is cut, and that of no address is none", () => {
  const bans = new Bans(10, 64);
  const seen = { firstBytes: new Uint8Array(70).fill(7), clientAddress: "192.0.2.1", clientPort: 1, gatePort: 2 };
  bans.add({ ...banOf("192.0.2.1", 1000), evidence: seen });
  bans.add({ ...banOf("192.0.2.2", 1000), evidence: { ...seen, clientAddress: "somewhere" } });
  const kept = bans.byText("192.0.2.1")?.evidence;
  expect([kept?.firstBytes, kept?.clientAddress, kept?.clientPort, kept?.gatePort, kept?.bet]).toEqual([
    ...[new Uint8Array(64).fill(7), seen.clientAddress, seen.clientPort, seen.gatePort, undefined],
  ]);
  expect(bans.byText("192.0.2.2")?.evidence).toBeUndefined();
});

test("what was read stays as it was when its row is another's", () => {
  const bans = new Bans(10, 64);
  bans.add(banOf("192.0.2.1", 1000, 0, 22));
  const [read] = bans.all();
  const before = structuredClone(plain(read));
  bans.remove(requirePrefix("192.0.2.1"));
  for (let number = 0; number < 5; number++) bans.add(banOf(`192.0.2.${number}`, 2000, 0, 1 + number));
  expect(plain(read)).toEqual(before);
});

test("who goes through all while they change meets each that stays once, and none that has gone", () => {
  const bans = new Bans(1_000_000, 64);
  const textAt = (number: number) => `10.0.${number >> 8}.${number & 255}`;
  for (let number = 0; number < 1000; number++) bans.add(banOf(textAt(number), 1000));
  const all = bans.all();
  const before = [...all.take(300)].map(textOf);
  for (let number = 0; number < 1000; number += 2) bans.remove(requirePrefix(textAt(number)));
  for (let number = 1000; number < 1500; number++) bans.add(banOf(textAt(number), 1000));
  const isOfBefore = (ban: Ban) => addressHead(ban.prefix) < addressHead(requirePrefix(textAt(1000)));
  const after = [...all].filter(isOfBefore).map(textOf);
  expect(before).toEqual(Array.from({ length: 300 }, (_, number) => textAt(number)));
  expect(after).toEqual(Array.from({ length: 350 }, (_, number) => textAt(301 + 2 * number)));
});

describe("who is out", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "::ffff:192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["192.0.2.0/24", "192.0.2.255", true],
    ["192.0.2.0/24", "192.0.3.0", false],
    ["0.0.0.0/0", "203.0.113.1", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["2001:db8::/64", "2001:db8::ffff", true],
    ["2001:db8::/64", "2001:db8:0:1::1", false],
    ["2001:db8::7", "2001:db8::7", true],
    ["2001:db8::7", "2001:db8::8", false],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/96", "2001:db8::1", true],
    ["2001:db8::/96", "2001:db8::1:0:1", false],
    ["::/64", "192.0.2.1", false],
    ["::/0", "192.0.2.1", false],
    ["::/0", "2001:db8::1", true],
  ])("a ban of %s, a client at %s: %p", (ban, from, out) => {
    const bans = new Bans(10, 64);
    bans.add(banOf(ban, 1000));
    expect(bans.find(client(from), 999) !== undefined).toBe(out);
    expect(bans.find(client(from), 1000)).toBeUndefined();
  });

  test("a range goes on blocking when the ban of an address in it is over", () => {
    const bans = new Bans(10, 64);
    bans.add(banOf("192.0.2.1", 1000));
    bans.add(banOf("192.0.2.0/24", 5000));
    bans.add(banOf("2001:db8::/64", 1000));
    bans.add(banOf("2001:db8::/48", 5000));
    for (const [from, wide] of [
      ["192.0.2.1", "192.0.2.0/24"],
      ["2001:db8::1", "2001:db8::/48"],
    ] as const) {
      expect(textOf(bans.find(client(from), 500))).not.toBe(wide);
      expect(textOf(bans.find(client(from), 2000))).toBe(wide);
    }
    expect(bans.due(2000).map(textOf)).toEqual(["192.0.2.1", "2001:db8::/64"]);
    expect(bans.find(client("192.0.2.1"), 2000)).toBeDefined();
  });

  test("the ban of one address in a network leaves its neighbours alone", () => {
    const bans = new Bans(10, 64);
    bans.add(banOf("2001:db8::7", 1000));
    expect(textOf(bans.find(client("2001:db8::7"), 0))).toBe("2001:db8::7");
    expect(bans.find(client("2001:db8::8"), 0)).toBeUndefined();
    expect(textOf(bans.covering(requirePrefix("2001:db8::7"), 0))).toBe("2001:db8::7");
    expect(bans.covering(requirePrefix("2001:db8::/64"), 0)).toBeUndefined();
    bans.remove(requirePrefix("2001:db8::7"));
    expect(bans.find(client("2001:db8::7"), 0)).toBeUndefined();
  });

  test("a source is an IPv4 address or an IPv6 network of the ban prefix", () => {
    const bans = new Bans(10, 56);
    const sources = ["192.0.2.1", "192.0.2.0/24", "2001:db8::/56", "2001:db8::/64", "2001:db8::1", "::/56"];
    expect(sources.filter((text) => bans.isSource(requirePrefix(text)))).toEqual([
      "192.0.2.1",
      "2001:db8::/56",
      "::/56",
    ]);
  });
});

describe("a full table", () => {
  test("lets the ban go that ends soonest, and says which", () => {
    const bans = new Bans(3, 64);
    for (const [text, untilMs] of [
      ["192.0.2.1", 9000],
      ["192.0.2.2", 2000],
      ["192.0.2.3", Number.POSITIVE_INFINITY],
    ] as const) {
      expect(bans.add(banOf(text, untilMs))).toBeUndefined();
    }
    expect(bans.add(banOf("192.0.2.1", 1000))).toBeUndefined();
    expect(textOf(bans.add(banOf("192.0.2.4", 5000)))).toBe("192.0.2.1");
    expect(textOf(bans.add(banOf("192.0.2.5", 100)))).toBe("192.0.2.2");
    expect(bans.size).toBe(3);
  });

  test("of bans without an end lets the oldest go", () => {
    const bans = new Bans(2, 64);
    for (const text of ["192.0.2.1", "192.0.2.2"]) bans.add(banOf(text, Number.POSITIVE_INFINITY));
    expect(bans.soonest()).toBeUndefined();
    expect(textOf(bans.add(banOf("192.0.2.3", 1000)))).toBe("192.0.2.1");
    expect(bans.size).toBe(2);
  });

  test("two hundred thousand sources come and go in step with their number", () => {
    const bans = new Bans(100_000, 64);
    const started = process.cpuUsage();
    for (let number = 0; number < 200_000; number++) {
      const text = `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
      bans.add(banOf(text, 1000 + ((number * 7919) % 600_000)));
    }
    expect(bans.size).toBe(100_000);
    for (let nowMs = 0; nowMs <= 602_000; nowMs += 500) bans.due(nowMs);
    expect(bans.size).toBe(0);
    // About 500 ms; a scan for each eviction would take minutes.
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(5000);
  });
});
