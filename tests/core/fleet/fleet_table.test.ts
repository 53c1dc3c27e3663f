// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Member, Memory, recordAt } from "./bed.ts";

const source = "192.0.2.1";
const minuteMs = 60_000;

function two(limits = {}) {
  const memory = new Memory();
  return { memory, a: new Member("a", memory, 5_000_000), b: new Member("b", memory, 77_000, limits) };
}

describe("a ban of one gate", () => {
  test("is another's with the gate's name, the same end and what was seen", () => {
    const { a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.look("a", source);
    expect(b.origins(source)).toEqual(["gate:a"]);
    expect(b.banned()).toEqual(a.banned());
  });

  test("does not come back to the one that made it, nor go on from the other", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.reconcile();
    a.reconcile();
    expect(a.origins(source)).toEqual(["sniffer"]);
    expect(memory.of("b").size).toBe(0);
  });

  test.each(["192.0.2.0/24", "2001:db8::/48", "127.0.0.1", "::1", "fe80::/64", "64:ff9b::/64"])(
    "of %s stays with it",
    (range) => {
      const { memory, a, b } = two();
      a.ban(range, minuteMs);
      a.announce();
      expect(memory.of("a").size).toBe(0);
      memory.of("a").set(range, `${memory.nowMs} 0 0 http -`);
      b.look("a", range);
      expect(b.banned()).toEqual({});
      expect(b.table.peer("a").refused.wide).toBe(1);
    },
  );

  test("meets the never-ban list of the other", () => {
    const { a, b } = two({ neverBan: ["192.0.2.0/28"] });
    a.ban(source, minuteMs);
    a.announce();
    b.look("a", source);
    expect(b.banned()).toEqual({});
    expect(b.table.peer("a").refused.neverBan).toBe(1);
  });

  test("is longer when it is made longer, shorter when the longer claim is taken back", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.look("a", source);
    memory.nowMs += 1000;
    a.ban(source, 10 * minuteMs, "list:x");
    a.announce();
    b.look("a", source);
    expect(b.banned()).toEqual(a.banned());
    memory.nowMs += 1000;
    a.lift(source, "list:x");
    a.announce();
    b.look("a", source);
    expect(b.banned()).toEqual(a.banned());
  });

  test("is not made shorter by what a replica had before", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    const before = memory.of("a").get(source) ?? "";
    memory.nowMs += 5000;
    a.ban(source, 10 * minuteMs);
    a.announce();
    b.look("a", source);
    memory.of("a").set(source, before);
    b.look("a", source);
    b.reconcile();
    expect(b.banned()).toEqual(a.banned());
  });

  test("ends nowhere because the engine forgets it", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.reconcile();
    memory.records.clear();
    b.look("a", source);
    b.reconcile();
    expect(Object.keys(b.banned())).toEqual([source]);
    a.reconcile();
    expect(recordAt(memory, "a", source)?.reason).toBe("http");
  });

  test("that a gate forgot with its table comes back to it from the engine", () => {
    const { memory, a } = two();
    a.ban(source, minuteMs);
    a.announce();
    const again = new Member("a", memory, 9000);
    again.reconcile();
    expect(again.origins(source)).toEqual(["gate:a"]);
  });
});

describe("a lift", () => {
  test("by an operator ends the claims of all, by another origin its own alone", () => {
    const { a, b } = two();
    a.ban(source, minuteMs);
    b.ban(source, minuteMs);
    a.announce();
    b.announce();
    a.reconcile();
    b.reconcile();
    a.lift(source, "sniffer");
    a.announce();
    b.look("a", source);
    expect(b.origins(source)).toEqual(["sniffer"]);
    a.lift(source);
    a.announce();
    b.look("a", source);
    expect([a.banned(), b.banned()]).toEqual([{}, {}]);
  });

  test("loses to a ban that was made after it, wins over one from before, whoever comes last", () => {
    const { memory, a, b } = two();
    b.ban(source, minuteMs);
    memory.nowMs += 50;
    a.ban(source, minuteMs);
    a.lift(source);
    memory.nowMs += 50;
    const c = new Member("c", memory, 3000);
    c.ban(source, minuteMs);
    for (const member of [a, b, c]) member.announce();
    for (const member of [c, b, a]) member.reconcile();
    expect(b.origins(source)).toEqual(["gate:c"]);
    expect(c.origins(source)).toEqual(["sniffer"]);
    expect(a.origins(source)).toEqual(["gate:c"]);
  });

  test("of another gate has the own ban taken back, so that it does not outlive the memory of the lift", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.reconcile();
    memory.nowMs += 1000;
    b.lift(source);
    b.announce();
    a.look("b", source);
    a.announce();
    const record = recordAt(memory, "a", source);
    expect(record?.untilMs).toBe(record?.madeMs);
    memory.records.delete("b");
    const late = new Member("d", memory, 1);
    late.reconcile();
    expect(late.banned()).toEqual({});
  });

  test("is remembered over an engine that lost its memory: what a gate that was away still holds stays lifted", () => {
    const { memory, a, b } = two();
    const away = new Member("c", memory, 60_000);
    away.ban(source, 60 * minuteMs);
    away.announce();
    for (const member of [a, b]) member.reconcile();
    memory.nowMs += 1000;
    a.lift(source);
    a.announce();
    b.reconcile();
    memory.records.clear();
    // The one that was away is the first to tell the empty engine.
    away.reconcile();
    b.reconcile();
    expect(b.banned()).toEqual({});
    a.reconcile();
    away.reconcile();
    b.reconcile();
    expect([a.banned(), b.banned(), away.banned()]).toEqual([{}, {}, {}]);
    const late = new Member("d", memory, 1);
    late.reconcile();
    expect(late.banned()).toEqual({});
  });

  test("wins over a ban that was found in the map, where nothing says when it was made", () => {
    const { memory, a, b } = two();
    a.ban(source, minuteMs);
    a.announce();
    b.reconcile();
    memory.nowMs += 1000;
    b.lift(source);
    b.announce();
    memory.nowMs += 1000;
    const again = new Member("a", memory, 10);
    const found = { reason: "http", packets: 0, bytes: 0, lastSeenMs: undefined };
    const [ban] = a.enforcement.bans.all();
    if (ban === undefined) throw new Error("No ban");
    const expiresMs = again.nowMs + minuteMs;
    again.enforcement.adopt([{ ...found, prefix: ban.prefix, origin: "sniffer", expiresMs }], again.nowMs);
    again.reconcile();
    expect(again.banned()).toEqual({});
  });
});

describe("a gate that is not to be believed", () => {
  test.each([
    ["", "empty"],
    ["1 2 3 http", "too short"],
    ["1 2 3 http - -", "too long"],
    ["-1 0 0 http -", "a negative time"],
    ["1 0 0 ht\u001btp -", "a control character"],
    [`1 0 0 ${"x".repeat(65)} -`, "a long name"],
    [`1 0 0 http ${"41".repeat(65)},192.0.2.1,1,2`, "too many bytes"],
    ["1 0 0 http 4,192.0.2.1,1,2", "half a byte"],
    ["x".repeat(100_000), "a flood"],
  ])("says %p: %s", (text) => {
    const { memory, b } = two();
    memory.of("a").set(source, text);
    b.look("a", source);
    expect(b.banned()).toEqual({});
    expect(b.table.peer("a").refused.malformed).toBe(1);
  });

  test.each(["", "x", "192.0.2.1/32", "192.0.2.01", "::ffff:192.0.2.1", "2001:DB8::1"])(
    "names the source %p",
    (name) => {
      const { memory, b } = two();
      memory.of("a").set(name, `${memory.nowMs} 0 0 http -`);
      b.look("a", name);
      expect(b.banned()).toEqual({});
    },
  );

  test("a lift from the future is none", () => {
    const { memory, b } = two();
    b.ban(source, minuteMs);
    memory.of("a").set(source, `1 1 ${memory.nowMs + 9_000_000} lifted -`);
    b.look("a", source);
    memory.nowMs += 2000;
    b.ban(source, minuteMs);
    b.look("a", source);
    b.reconcile();
    expect(b.origins(source)).toEqual(["sniffer"]);
  });

  test("a ban from the future is none: it would win over every lift; nor is one that ends beyond all dates", () => {
    const { memory, b } = two();
    for (const record of [`${memory.nowMs + 9000} 0 0 http -`, `${memory.nowMs} ${"9".repeat(16)} 0 http -`]) {
      memory.of("a").set(source, record);
      b.look("a", source);
      expect(b.banned()).toEqual({});
    }
    expect(b.table.peer("a").refused.malformed).toBe(2);
  });

  test("so many a minute and so many at a time; the rest is left with the engine", () => {
    const { memory, b } = two({ rate: () => 100, most: () => 150 });
    for (let n = 0; n < 1000; n++) memory.of("a").set(`10.0.${n >> 8}.${n & 255}`, `${memory.nowMs} 0 0 http -`);
    const peer = b.table.peer("a");
    b.table.apply("a", memory.of("a"), b.nowMs);
    expect([Object.keys(b.banned()).length, peer.isDeferred, peer.refused.rate]).toEqual([100, true, 900]);
    memory.nowMs += minuteMs;
    b.table.apply("a", memory.of("a"), b.nowMs);
    expect([Object.keys(b.banned()).length, peer.held(b.nowMs)]).toEqual([150, 150]);
    expect(peer.refused.most).toBeGreaterThan(0);
  });

  test("never makes a ban of the gate's own give way", () => {
    const memory = new Memory();
    const b: Member = new Member("b", memory, 1000, {
      capacity: 100,
      room: () => 90 - b.enforcement.bans.size,
    });
    for (let n = 0; n < 50; n++) b.ban(`192.0.2.${n}`, minuteMs);
    for (let n = 0; n < 200; n++) memory.of("a").set(`10.0.0.${n}`, `${memory.nowMs} 0 0 http -`);
    b.reconcile();
    const origins = [...b.enforcement.bans.all()].map(({ origin }) => origin);
    expect([origins.filter((origin) => origin === "sniffer").length, origins.length]).toEqual([50, 90]);
    expect(b.table.peer("a").refused.room).toBeGreaterThan(0);
  });

  test("ends with its trust", () => {
    const trusted = new Set(["a", "c"]);
    const { memory, b } = two({ trusts: (gate: string) => trusted.has(gate) });
    memory.of("a").set(source, `${memory.nowMs} 0 0 http -`);
    memory.of("c").set(source, `${memory.nowMs} 0 0 http -`);
    memory.of("c").set("192.0.2.2", `${memory.nowMs} 0 0 http -`);
    b.look("a", source);
    b.look("c", source);
    b.look("c", "192.0.2.2");
    trusted.delete("c");
    for (const _ of b.table.distrust(() => b.nowMs));
    expect(b.origins(source)).toEqual(["gate:a"]);
    expect(Object.keys(b.banned())).toEqual([source]);
  });
});

describe.each([-3_600_000, 3_600_000])("when the engine's clock is set by %d ms", (byMs) => {
  /** A fleet of three where `source` is banned by a, another was lifted by a, and the clock is set. */
  function set() {
    const { memory, a, b } = two();
    const c = new Member("c", memory, 4000);
    a.ban(source, 30 * minuteMs);
    a.ban("192.0.2.2", 300 * minuteMs);
    a.ban("192.0.2.9", minuteMs);
    a.announce();
    for (const gate of [b, c]) for (const one of memory.of("a").keys()) gate.look("a", one);
    memory.nowMs += 10;
    a.lift("192.0.2.9");
    a.announce();
    for (const gate of [b, c]) gate.look("a", "192.0.2.9");
    memory.nowMs += minuteMs;
    memory.setByMs = byMs;
    for (const gate of [a, b, c]) expect(gate.askTime()).toBe(byMs);
    memory.nowMs += 10;
    return { memory, a, b, c };
  }

  test("no end of a ban moves, before and after all is announced anew", () => {
    const { memory, a, b, c } = set();
    const before = a.banned();
    expect([b.banned(), c.banned()]).toEqual([before, before]);
    a.announceMissing();
    const d = new Member("d", memory, 3000);
    for (const gate of [b, c, d]) gate.reconcile();
    for (const gate of [a, b, c, d]) expect(gate.banned()).toEqual(before);
    expect([b.table.peer("a").refused.malformed, c.askTime()]).toEqual([0, 0]);
  });

  test("a lift ends the ban at all, the own claim taken back ends its own", () => {
    const { a, b, c } = set();
    a.lift(source);
    a.lift("192.0.2.2", "sniffer");
    a.announce();
    for (const one of [source, "192.0.2.2"]) b.look("a", one);
    expect(b.banned()).toEqual({});
    c.lift(source);
    expect(Object.keys(c.banned())).toEqual(["192.0.2.2"]);
  });

  test("what was lifted before may be banned again, and lifted again", () => {
    const { memory, a, b, c } = set();
    b.ban("192.0.2.9", minuteMs);
    b.announce();
    for (const gate of [a, c]) {
      gate.look("b", "192.0.2.9");
      // The lift is still there as it was.
      if (gate === c) gate.look("a", "192.0.2.9");
      else gate.reconcile();
      expect(gate.origins("192.0.2.9")).toEqual(["gate:b"]);
    }
    memory.nowMs += 10;
    a.lift("192.0.2.9");
    a.announce();
    for (const gate of [b, c]) {
      gate.look("a", "192.0.2.9");
      expect(gate.origins("192.0.2.9")).toEqual([]);
    }
  });

  test("a gate that wrote nothing since is known by that", () => {
    const { b } = set();
    expect(b.table.peer("a").isOutdated).toBe(true);
  });
});

/** What may happen to a fleet; messages are lost, repeated and come in any order in between. */
const gate = fc.nat(2);
const address = fc.nat(4).map((number) => `198.51.100.${number}`);
type Step = [what: string, gate: number, source: string, more: number];
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("ban"), gate, address, fc.integer({ min: 20, max: 900_000 })) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("lift"), gate, address, fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("release"), gate, address, fc.nat()) },
  { weight: 6, arbitrary: fc.tuple(fc.constant("announce"), gate, address, fc.nat()) },
  { weight: 8, arbitrary: fc.tuple(fc.constant("look"), gate, address, fc.nat(1)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("reconcile"), gate, address, fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("empty"), gate, address, fc.nat()) },
);

class Story {
  readonly memory = new Memory();
  readonly names = ["a", "b", "c"];
  readonly members = this.names.map((name, index) => new Member(name, this.memory, 1000 + 7919 * index));
  /** When a source was last banned, and when it was last lifted, by anybody. */
  readonly made = new Map<string, number>();
  readonly lifted = new Map<string, number>();

  happens(what: string, number: number, source: string, more: number): void {
    this.memory.nowMs += 17;
    const member = this.members[number];
    if (member === undefined) throw new Error(`No member ${number}`);
    const deeds: Readonly<Record<string, () => void>> = {
      ban: () => {
        member.ban(source, more);
        this.made.set(source, this.memory.nowMs);
      },
      lift: () => {
        if (member.enforcement.bans.byText(source) !== undefined) this.lifted.set(source, this.memory.nowMs);
        member.lift(source);
      },
      release: () => member.lift(source, "sniffer"),
      announce: () => member.announce(),
      look: () => member.look(this.names[(number + 1 + more) % 3] ?? "", source),
      reconcile: () => member.reconcile(),
      empty: () => this.memory.records.clear(),
    };
    deeds[what]?.();
  }

  settle(): void {
    for (let round = 0; round < 3; round++) for (const member of this.members) member.reconcile();
  }
}

test("whatever is lost, repeated and out of order, and whenever the engine is emptied, all come to the same", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const story = new Story();
      for (const one of steps) story.happens(...one);
      story.settle();
      const [first = {}, ...others] = story.members.map((member) => member.banned());
      for (const other of others) {
        expect(Object.keys(other).sort()).toEqual(Object.keys(first).sort());
        const apart = Object.entries(first).map(([source, untilMs]) => Math.abs((other[source] ?? 0) - untilMs));
        expect(Math.max(0, ...apart)).toBeLessThanOrEqual(100);
      }
      const revived = Object.keys(first).filter(
        (source) => (story.lifted.get(source) ?? 0) > (story.made.get(source) ?? 0),
      );
      expect(revived).toEqual([]);
    }),
    { numRuns: 3000 },
  );
});
