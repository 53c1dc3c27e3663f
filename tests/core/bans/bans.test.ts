// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { contains, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { Ban } from "../../../src/core/bans/claim.ts";
import { Client } from "../../../src/core/client.ts";

function banOf(text: string, untilMs: number, sinceMs = 0): Ban {
  const prefix = requirePrefix(text);
  return {
    ...{ prefix, reason: "http", origin: "sniffer", sinceMs, untilMs },
    ...{ evidence: undefined, others: [], standsIn: undefined },
  };
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

  add(text: string, forMs: number): void {
    const ban = banOf(text, this.#nowMs + forMs, this.#nowMs);
    const others = this.#list.filter((other) => other.prefix.text !== text);
    const full = others.length === this.#list.length && others.length === this.#bans.capacity;
    const evicted = this.#bans.add(ban);
    expect(evicted !== undefined).toBe(full);
    if (evicted !== undefined) this.#expectSoonest(evicted, others);
    this.#list = [...others.filter((other) => other !== evicted), ban];
  }

  remove(text: string): void {
    const wanted = this.#list.find((ban) => ban.prefix.text === text);
    expect(this.#bans.remove(requirePrefix(text))).toBe(wanted as Ban);
    this.#list = this.#list.filter((ban) => ban !== wanted);
  }

  pass(ms: number, limit: number): void {
    this.#nowMs += ms;
    const ended = this.#bans.due(this.#nowMs, limit);
    expect(ended.length).toBeLessThanOrEqual(limit);
    for (const ban of ended) {
      expect(this.#list).toContain(ban);
      expect(ban.untilMs).toBeLessThanOrEqual(this.#nowMs);
    }
    this.#list = this.#list.filter((ban) => !ended.includes(ban));
    const late = this.#list.filter((ban) => ban.untilMs <= this.#nowMs - 1000);
    if (ended.length < limit) expect(late).toEqual([]);
  }

  check(): void {
    const texts = (bans: Iterable<Ban>) => [...bans].map((ban) => ban.prefix.text).sort();
    expect(this.#bans.size).toBe(this.#list.length);
    expect(texts(this.#bans.all())).toEqual(texts(this.#list));
    const running = this.#list.filter((ban) => ban.untilMs > this.#nowMs);
    for (const from of addresses) {
      const single = requirePrefix(from);
      const found = this.#bans.find(client(from, this.#ipv6Bits), this.#nowMs);
      const covering = running.filter((ban) => contains(ban.prefix, single));
      if (found === undefined) expect(covering).toEqual([]);
      else expect(covering).toContain(found);
    }
    this.#expectSoonest(this.#bans.soonest(), this.#list);
  }

  /** Questions about a prefix. */
  ask(text: string): void {
    const prefix = requirePrefix(text);
    const covering = this.#list
      .filter((ban) => ban.untilMs > this.#nowMs && contains(ban.prefix, prefix))
      .toSorted((a, b) => b.prefix.bits - a.prefix.bits);
    expect(textOf(this.#bans.covering(prefix, this.#nowMs))).toBe(textOf(covering[0]));
    const inside = this.#list.filter((ban) => contains(prefix, ban.prefix));
    expect(new Set(this.#bans.within(prefix))).toEqual(new Set(inside));
    expect(textOf(this.#bans.get(prefix))).toBe(textOf(this.#list.find((ban) => ban.prefix.text === text)));
  }

  /** The table looks at whole seconds. */
  #expectSoonest(given: Ban | undefined, among: readonly Ban[]): void {
    const soonestMs = Math.min(...among.map((ban) => ban.untilMs));
    if (soonestMs === Number.POSITIVE_INFINITY) return;
    expect(Math.ceil((given?.untilMs ?? Number.NaN) / 1000)).toBe(Math.ceil(soonestMs / 1000));
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
    arbitrary: fc.tuple(prefix, forMs).map(
      ([text, ms]): Step =>
        (compared) =>
          compared.add(text, ms),
    ),
  },
  prefix.map(
    (text): Step =>
      (compared) =>
        compared.remove(text),
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
    { numRuns: 400 },
  );
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
    const startedMs = performance.now();
    for (let number = 0; number < 200_000; number++) {
      const text = `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
      bans.add(banOf(text, 1000 + ((number * 7919) % 600_000)));
    }
    expect(bans.size).toBe(100_000);
    for (let nowMs = 0; nowMs <= 602_000; nowMs += 500) bans.due(nowMs);
    expect(bans.size).toBe(0);
    // About 400 ms; a scan for each eviction would take minutes.
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});
