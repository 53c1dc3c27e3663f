// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { contains, isIpv4, type Prefix, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { BanChange, BanRequest } from "../../../src/core/bans/change.ts";
import { type Ban, claimsOf } from "../../../src/core/bans/claim.ts";
import { Enforcement, sweepLimit } from "../../../src/core/bans/enforcement.ts";
import { Events } from "../../../src/core/bans/events.ts";
import type { Fence, FenceEntry, FenceOutcome, FenceRecord, FenceStatus } from "../../../src/core/bans/fence.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Client } from "../../../src/core/client.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { finished } from "../../../src/core/work.ts";
import { BanEvents } from "../../../src/daemon/ban_events.ts";
import { lifted as lift } from "../../harness/lifted.ts";

/** The port's other side in a few lines: three maps of the same room, and a kernel that can refuse. */
class SmallFence implements Fence {
  readonly entries = new Map<string, FenceEntry>();
  readonly calls: string[] = [];
  failing: string | undefined;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get texts(): string[] {
    return [...this.entries.keys()].sort();
  }

  mapOf(prefix: Prefix): string {
    if (prefix.bits === (isIpv4(prefix) ? 128 : 64)) return isIpv4(prefix) ? "ipv4" : "ipv6";
    return "ranges";
  }

  put(entry: FenceEntry): FenceOutcome {
    this.calls.push(`put ${entry.prefix.text}`);
    if (this.failing !== undefined) return { kind: "failed", message: this.failing };
    const map = this.mapOf(entry.prefix);
    const used = [...this.entries.values()].filter(({ prefix }) => this.mapOf(prefix) === map).length;
    if (!this.entries.has(entry.prefix.text) && used >= this.#capacity) return { kind: "full" };
    this.entries.set(entry.prefix.text, entry);
    return { kind: "enforced" };
  }

  putMany(entries: readonly FenceEntry[]): FenceOutcome[] {
    return entries.map((entry) => this.put(entry));
  }

  drop(prefix: Prefix): boolean {
    this.calls.push(`drop ${prefix.text}`);
    return this.entries.delete(prefix.text);
  }

  dropMany(prefixes: readonly Prefix[]): number {
    return prefixes.filter((prefix) => this.drop(prefix)).length;
  }

  *records(): Generator<readonly FenceRecord[], void, void> {
    yield [...this.entries.values()].map((entry) => recordOf(entry.prefix.text, entry.expiresMs));
  }

  record(): undefined {}

  status(): FenceStatus {
    throw new Error("Enforcement asks no status");
  }

  ask(): undefined {}

  cover(): void {}

  tick(): void {}

  close(): void {}
}

function recordOf(text: string, expiresMs: number, reason = "tls"): FenceRecord {
  const prefix = requirePrefix(text);
  return { prefix, expiresMs, reason, packets: 0, bytes: 0, lastSeenMs: undefined, origin: "map" };
}

function requestOf(text: string, forMs: number, nowMs = 0): BanRequest {
  return { prefix: requirePrefix(text), reason: "http", origin: "sniffer", untilMs: nowMs + forMs };
}

function clientAt(address: string): Client {
  return new Client(address, 4711, 64);
}

interface Setting {
  readonly capacity?: number;
  readonly room?: number;
  readonly protect?: readonly string[];
  readonly fenced?: boolean;
}

function setUp({ capacity = 100, room = 100, protect = [], fenced = true }: Setting = {}) {
  const fence = new SmallFence(room);
  const counters = newBanCounters();
  const neverBan = new NeverBan(protect.map((text) => ({ prefix: requirePrefix(text), why: `test ${text}` })));
  const enforcement = new Enforcement(new Bans(capacity, 64), neverBan, fenced ? fence : undefined, counters);
  return { fence, counters, enforcement, bans: enforcement.bans };
}

describe("a ban", () => {
  test("stands in the table when the kernel is asked", () => {
    const { fence, enforcement } = setUp();
    const seen: (Ban | undefined)[] = [];
    const put = fence.put.bind(fence);
    fence.put = (entry) => {
      seen.push(enforcement.bans.get(entry.prefix));
      return put(entry);
    };
    const result = enforcement.ban(requestOf("192.0.2.1", 5000, 1000), 1000);
    expect(result).toMatchObject({ kind: "banned", fence: { kind: "enforced" }, ban: { untilMs: 6000 } });
    expect(seen.map((ban) => ban?.untilMs)).toEqual([6000]);
    expect(fence.entries.get("192.0.2.1")).toMatchObject({ expiresMs: 6000, reason: "http" });
  });

  test("is counted, by protocol", () => {
    const { counters, enforcement } = setUp();
    enforcement.ban(requestOf("192.0.2.1", 1000), 0);
    enforcement.ban({ ...requestOf("192.0.2.2", 1000), reason: "tls" }, 0);
    enforcement.ban(requestOf("192.0.2.1", 2000), 0);
    expect(counters.bansTotal).toBe(3);
    expect([...counters.bansByProtocol]).toEqual([
      ["http", 2],
      ["tls", 1],
    ]);
  });

  test("again changes the end of the one entry", () => {
    const { fence, enforcement, bans } = setUp({ room: 2 });
    enforcement.ban(requestOf("192.0.2.1", 1000), 0);
    enforcement.ban(requestOf("192.0.2.1", 9000, 500), 500);
    expect(bans.size).toBe(1);
    expect(fence.entries.get("192.0.2.1")?.expiresMs).toBe(9500);
    expect(enforcement.sweep(5000)).toBe(0);
    // The longer end counts when room is made, too: 192.0.2.2 is the soonest now.
    enforcement.ban(requestOf("192.0.2.2", 1000, 5000), 5000);
    enforcement.ban(requestOf("192.0.2.3", 9000, 5000), 5000);
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.3"]);
    expect(enforcement.sweep(10_000)).toBe(2);
    expect(fence.texts).toEqual(["192.0.2.3"]);
  });

  test("works without a kernel", () => {
    const { fence, enforcement, counters } = setUp({ fenced: false });
    expect(enforcement.ban(requestOf("192.0.2.1", 5000), 0)).toMatchObject({ kind: "banned", fence: undefined });
    expect(enforcement.banMany([requestOf("192.0.2.2", 5000)], 0)).toMatchObject([{ kind: "banned" }]);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 100)).toBe(true);
    expect(enforcement.userSpaceOnly).toBe(0);
    expect(enforcement.sweep(6000)).toBe(2);
    expect([fence.calls, counters.kernelFull, counters.kernelFailed]).toEqual([[], 0, 0]);
  });
});

describe("a full kernel map", () => {
  test("gives the room of the ban that ends soonest, which user space then enforces alone", () => {
    const { fence, enforcement, counters } = setUp({ room: 2 });
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    enforcement.ban(requestOf("192.0.2.2", 10_000), 0);
    expect(enforcement.ban(requestOf("192.0.2.3", 30_000), 0)).toMatchObject({ fence: { kind: "enforced" } });
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.3"]);
    expect(enforcement.userSpaceOnly).toBe(1);
    expect(counters.kernelFull).toBe(0);
    expect(enforcement.refuses(clientAt("192.0.2.2"), 100)).toBe(true);
  });

  test("keeps what it has when the new ban would end first", () => {
    const { fence, enforcement, counters } = setUp({ room: 2 });
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    enforcement.ban(requestOf("192.0.2.2", 50_000), 0);
    expect(enforcement.ban(requestOf("192.0.2.3", 10_000), 0)).toMatchObject({ fence: { kind: "full" } });
    expect(enforcement.ban(requestOf("192.0.2.4", 50_000), 0)).toMatchObject({ fence: { kind: "full" } });
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect([counters.kernelFull, enforcement.userSpaceOnly]).toEqual([2, 2]);
  });

  test("an operator's ban goes before those of others, however short it is, and makes room for none of them", () => {
    const { fence, enforcement, bans } = setUp({ room: 2, capacity: 3 });
    const asked: BanRequest = { ...requestOf("192.0.2.9", 1000), reason: "manual", origin: "operator" };
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    enforcement.ban(requestOf("192.0.2.2", 50_000), 0);
    expect(enforcement.ban(asked, 0)).toMatchObject({ fence: { kind: "enforced" } });
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.9"]);
    const listed: BanRequest = { ...requestOf("192.0.2.3", 1e9), origin: "list:x" };
    expect(enforcement.banMany([listed, { ...listed, prefix: requirePrefix("192.0.2.4") }], 0)).toHaveLength(2);
    expect(fence.texts).toContain("192.0.2.9");
    expect(bans.byText("192.0.2.9")).toBeDefined();
    // Another claim on the same source leaves it an operator's.
    enforcement.ban({ ...requestOf("192.0.2.9", 2000), origin: "list:x" }, 0);
    enforcement.ban({ ...listed, prefix: requirePrefix("192.0.2.5") }, 0);
    expect([fence.texts.includes("192.0.2.9"), bans.byText("192.0.2.9")?.others.length]).toEqual([true, 1]);
  });

  test("a ban without an end is never the one that makes room", () => {
    const { fence, enforcement } = setUp({ room: 1 });
    enforcement.ban(requestOf("192.0.2.1", Number.POSITIVE_INFINITY), 0);
    expect(enforcement.ban(requestOf("192.0.2.2", 1e9), 0)).toMatchObject({ fence: { kind: "full" } });
    expect(fence.texts).toEqual(["192.0.2.1"]);
  });

  test("room in one map is none in another", () => {
    const { fence, enforcement } = setUp({ room: 1 });
    enforcement.ban(requestOf("192.0.2.1", 10_000), 0);
    enforcement.ban(requestOf("2001:db8::/64", 20_000), 0);
    enforcement.ban(requestOf("2001:db8:0:1::/64", 60_000), 0);
    expect(fence.texts).toEqual(["192.0.2.1", "2001:db8:0:1::/64"]);
  });

  test("a ban that found no room is offered again when its source comes through", () => {
    const { fence, enforcement } = setUp({ room: 1 });
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    enforcement.ban(requestOf("192.0.2.2", 30_000), 0);
    expect(enforcement.refuses(clientAt("192.0.2.2"), 100)).toBe(true);
    expect(fence.texts).toEqual(["192.0.2.1"]);
    lift(enforcement, [requirePrefix("192.0.2.1")], 100);
    expect(fence.texts).toEqual([]);
    expect(enforcement.refuses(clientAt("192.0.2.2"), 100)).toBe(true);
    expect(fence.texts).toEqual(["192.0.2.2"]);
    expect(enforcement.userSpaceOnly).toBe(0);
    fence.calls.length = 0;
    expect(enforcement.refuses(clientAt("192.0.2.2"), 100)).toBe(true);
    expect(fence.calls).toEqual([]);
  });
});

describe("a kernel that refuses", () => {
  test("leaves the ban to user space, and is asked again when the source comes through", () => {
    const { fence, enforcement, counters } = setUp();
    fence.failing = "EPERM";
    const result = enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    expect(result).toMatchObject({ kind: "banned", fence: { kind: "failed", message: "EPERM" } });
    expect([counters.kernelFailed, counters.kernelFull, enforcement.userSpaceOnly]).toEqual([1, 0, 1]);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 1)).toBe(true);
    expect(counters.kernelFailed).toBe(2);
    fence.failing = undefined;
    expect(enforcement.refuses(clientAt("192.0.2.1"), 1)).toBe(true);
    expect([fence.texts, enforcement.userSpaceOnly]).toEqual([["192.0.2.1"], 0]);
  });

  test("an entry that could not be changed still goes when its ban does", () => {
    const { fence, enforcement } = setUp();
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    fence.failing = "EIO";
    enforcement.ban(requestOf("192.0.2.1", 90_000), 0);
    expect(enforcement.userSpaceOnly).toBe(1);
    expect(enforcement.sweep(91_000)).toBe(1);
    expect([fence.texts, enforcement.userSpaceOnly]).toEqual([[], 0]);
  });
});

describe("the end of a ban", () => {
  test("comes by time, in the kernel too, and lets the source in", () => {
    const { fence, enforcement } = setUp();
    enforcement.ban(requestOf("192.0.2.1", 10_000), 0);
    expect(enforcement.sweep(9999)).toBe(0);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 9999)).toBe(true);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 10_000)).toBe(false);
    expect(enforcement.sweep(10_000)).toBe(1);
    expect(fence.texts).toEqual([]);
  });

  test("comes in slices, so that a sweep is short", () => {
    const { fence, enforcement } = setUp({ capacity: 10_000, room: 10_000, fenced: true });
    for (let number = 0; number < 5000; number++) {
      enforcement.ban(requestOf(`10.0.${number >> 8}.${number & 255}`, 1000), 0);
    }
    expect(fence.texts.length).toBe(5000);
    const slices = Array.from({ length: 5000 / sweepLimit + 1 }, () => enforcement.sweep(2000));
    expect(slices).toEqual([...new Array<number>(5000 / sweepLimit).fill(sweepLimit), 0]);
    expect(fence.texts).toEqual([]);
  });

  test.each([
    [["192.0.2.1"], ["192.0.2.1"]],
    [["192.0.2.9"], []],
    [["192.0.2.0/24"], ["192.0.2.0/25", "192.0.2.1", "192.0.2.2"]],
    [["192.0.2.0/25"], ["192.0.2.0/25", "192.0.2.1", "192.0.2.2"]],
    [["0.0.0.0/0"], ["192.0.2.0/25", "192.0.2.1", "192.0.2.2", "198.51.100.1"]],
    [["2001:db8::/64"], ["2001:db8::/64", "2001:db8::7"]],
    [["2001:db8::7"], ["2001:db8::7"]],
    [["2001:db8::8"], []],
    [["2001:db8::/32"], ["2001:db8::/64", "2001:db8::7"]],
    [["::/64"], []],
    [["::/0"], ["2001:db8::/64", "2001:db8::7"]],
    [["192.0.2.1", "192.0.2.1", "192.0.2.0/31"], ["192.0.2.1"]],
    [[], []],
  ])("by a lift of %j ends %j", (prefixes, wanted) => {
    const { fence, enforcement, bans } = setUp();
    const all = ["192.0.2.1", "192.0.2.2", "192.0.2.0/25", "198.51.100.1", "2001:db8::/64", "2001:db8::7"];
    for (const text of all) enforcement.ban(requestOf(text, 60_000), 0);
    const lifted = lift(enforcement, prefixes.map(requirePrefix), 0).map(({ text }) => text);
    expect(lifted.sort()).toEqual(wanted);
    const left = all.filter((text) => !wanted.includes(text)).sort();
    expect(fence.texts).toEqual(left);
    expect([...bans.all()].map(({ prefix }) => prefix.text).sort()).toEqual(left);
  });

  test("by a full table takes the kernel entry along", () => {
    const { fence, enforcement } = setUp({ capacity: 2 });
    enforcement.ban(requestOf("192.0.2.1", 60_000), 0);
    enforcement.ban(requestOf("192.0.2.2", 10_000), 0);
    enforcement.ban(requestOf("192.0.2.3", 30_000), 0);
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.3"]);
    expect(enforcement.userSpaceOnly).toBe(0);
  });
});

describe("many at once", () => {
  test("are banned like one by one, in one call", () => {
    const { fence, enforcement, counters } = setUp({ protect: ["192.0.2.3"] });
    const requests = ["192.0.2.1", "192.0.2.3", "2001:db8::/64"].map((text) => requestOf(text, 5000));
    const results = enforcement.banMany(requests, 0);
    expect(results.map(({ kind }) => kind)).toEqual(["banned", "spared", "banned"]);
    expect(fence.texts).toEqual(["192.0.2.1", "2001:db8::/64"]);
    expect([counters.bansTotal, enforcement.userSpaceOnly]).toEqual([2, 0]);
    expect(enforcement.banMany([], 0)).toEqual([]);
  });

  test("with equal prefixes among them the last one stays, in the kernel too", () => {
    const { fence, enforcement, bans } = setUp({ room: 1 });
    const requests = [requestOf("192.0.2.1", 1000), requestOf("192.0.2.1", 60_000)];
    enforcement.banMany(requests, 0);
    expect([bans.size, fence.entries.get("192.0.2.1")?.expiresMs]).toEqual([1, 60_000]);
    // What was replaced is forgotten: it does not stand in the way of those who make room.
    enforcement.sweep(60_000);
    enforcement.ban(requestOf("192.0.2.2", 10_000, 60_000), 60_000);
    enforcement.ban(requestOf("192.0.2.3", 30_000, 60_000), 60_000);
    expect(fence.texts).toEqual(["192.0.2.3"]);
  });

  test("beyond the table's capacity leave nothing in the kernel that the table does not know", () => {
    const { fence, enforcement, bans } = setUp({ capacity: 3 });
    const requests = Array.from({ length: 10 }, (_, number) => requestOf(`192.0.2.${number}`, 1000 * (number + 1)));
    enforcement.banMany(requests, 0);
    expect(fence.texts).toEqual([...bans.all()].map(({ prefix }) => prefix.text).sort());
    expect(bans.size).toBe(3);
  });

  test("that find the map full make room or stay in user space, each for itself", () => {
    const { fence, enforcement, counters } = setUp({ room: 2 });
    const lengths = [10_000, 60_000, 30_000, 5000];
    enforcement.banMany(
      lengths.map((forMs, number) => requestOf(`192.0.2.${number}`, forMs)),
      0,
    );
    expect(fence.texts).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect([counters.kernelFull, enforcement.userSpaceOnly]).toEqual([1, 2]);
  });
});

describe("what stands in the kernel already", () => {
  test("is taken up with the time that it has left, and without touching the map", () => {
    const { fence, enforcement, bans, counters } = setUp();
    const [result] = enforcement.adopt([recordOf("192.0.2.1", 9000)], 4000);
    expect(result).toMatchObject({ kind: "banned", ban: { origin: "map", reason: "tls", sinceMs: 4000 } });
    expect([fence.calls, counters.bansTotal, bans.get(requirePrefix("192.0.2.1"))?.untilMs]).toEqual([[], 0, 9000]);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 8999)).toBe(true);
    expect(enforcement.sweep(9000)).toBe(1);
    expect(fence.calls).toEqual(["drop 192.0.2.1"]);
  });

  test("without an end stays", () => {
    const { enforcement } = setUp();
    enforcement.adopt([recordOf("192.0.2.1", Number.POSITIVE_INFINITY)], 0);
    expect(enforcement.sweep(1e12)).toBe(0);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 1e12)).toBe(true);
  });

  test("and is over goes with the next sweep", () => {
    const { fence, enforcement } = setUp();
    enforcement.adopt([recordOf("192.0.2.1", 1000)], 4000);
    expect(enforcement.refuses(clientAt("192.0.2.1"), 4000)).toBe(false);
    expect(enforcement.sweep(4000)).toBe(1);
    expect(fence.calls).toEqual(["drop 192.0.2.1"]);
  });

  test("makes room like any other", () => {
    const { fence, enforcement } = setUp({ room: 1 });
    fence.entries.set("192.0.2.1", {
      prefix: requirePrefix("192.0.2.1"),
      expiresMs: 10_000,
      reason: "tls",
      origin: "map",
    });
    enforcement.adopt([recordOf("192.0.2.1", 10_000)], 0);
    expect(enforcement.ban(requestOf("192.0.2.2", 60_000), 0)).toMatchObject({ fence: { kind: "enforced" } });
    expect([fence.texts, enforcement.userSpaceOnly]).toEqual([["192.0.2.2"], 1]);
  });
});

describe("dense neighbours in a full map", () => {
  const lastMs = 60_000;

  /** 150 places, 151 banned neighbours. */
  function folded(protect: readonly string[] = [], endMs = (_number: number) => lastMs) {
    const setting = setUp({ capacity: 1000, room: 150, protect });
    for (let number = 0; number <= 150; number++) {
      setting.enforcement.ban(requestOf(`192.0.2.${number}`, endMs(number)), 0);
    }
    return setting;
  }

  test("stand as one prefix, in the kernel alone", () => {
    const { fence, enforcement, bans, counters } = folded();
    expect(fence.texts).toEqual(["192.0.2.0/24"]);
    expect([enforcement.folds, enforcement.userSpaceOnly, counters.kernelFull, bans.size]).toEqual([1, 0, 0, 151]);
    expect(enforcement.foldOf(requirePrefix("192.0.2.7"))?.text).toBe("192.0.2.0/24");
    expect(enforcement.refuses(clientAt("192.0.2.200"), 1)).toBe(false);
    expect(enforcement.ban(requestOf("192.0.2.200", lastMs), 0)).toMatchObject({ fence: { kind: "enforced" } });
    expect(fence.texts).toEqual(["192.0.2.0/24"]);
  });

  test("do not over a protected one", () => {
    const { fence, enforcement } = folded(["192.0.2.255"]);
    expect([enforcement.folds, enforcement.userSpaceOnly, fence.texts.length]).toEqual([0, 1, 150]);
  });

  test("end together when they end", () => {
    const { fence, enforcement, bans } = folded();
    enforcement.sweep(lastMs - 1);
    expect(fence.texts).toEqual(["192.0.2.0/24"]);
    enforcement.sweep(lastMs);
    enforcement.sweep(lastMs);
    expect([fence.texts, bans.size, enforcement.folds]).toEqual([[], 0, 0]);
  });

  test("stand for themselves again when they are dense no more", () => {
    const { fence, enforcement } = folded([], (number) => (number < 50 ? 10_000 : lastMs));
    for (const nowMs of [9000, 10_000, 11_000, 60_000 - 2001]) enforcement.sweep(nowMs);
    enforcement.sweep(lastMs - 1000);
    expect(enforcement.folds).toBe(0);
    expect(fence.texts.length).toBe(101);
  });

  test.each(["192.0.2.7", "192.0.2.0/28"])("are left alone once %s was lifted", (lifted) => {
    const { fence, enforcement, bans } = folded();
    lift(enforcement, [requirePrefix(lifted)], 1000);
    expect(enforcement.folds).toBe(0);
    expect(fence.texts.some((text) => contains(requirePrefix(lifted), requirePrefix(text)))).toBe(false);
    expect(fence.entries.size).toBe(Math.min(150, bans.size));
    enforcement.ban(requestOf("192.0.2.222", lastMs, 1000), 1000);
    enforcement.ban(requestOf("192.0.2.223", lastMs, 1000), 1000);
    expect(enforcement.folds).toBe(0);
  });

  test.each(["192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0"])(
    "leave nothing behind when all of %s is lifted",
    (lifted) => {
      const { fence, enforcement, bans } = folded();
      lift(enforcement, [requirePrefix(lifted)], 1000);
      expect([bans.size, fence.texts, enforcement.folds, enforcement.userSpaceOnly]).toEqual([0, [], 0, 0]);
    },
  );

  test("make way for a ban of their very prefix, which then stands to its own end", () => {
    const { fence, enforcement } = folded();
    const result = enforcement.ban(requestOf("192.0.2.0/24", 10 * lastMs, 1000), 1000);
    expect(result).toMatchObject({ fence: { kind: "enforced" } });
    expect(fence.entries.get("192.0.2.0/24")?.expiresMs).toBe(10 * lastMs + 1000);
    for (const nowMs of [lastMs - 1500, lastMs, lastMs + 2000]) enforcement.sweep(nowMs);
    expect(fence.entries.get("192.0.2.0/24")?.expiresMs).toBe(10 * lastMs + 1000);
  });

  test("of IPv6 are networks", () => {
    const { fence, enforcement } = setUp({ capacity: 1000, room: 150 });
    for (let number = 0; number <= 150; number++) {
      enforcement.ban(requestOf(`2001:db8:0:7${number.toString(16).padStart(2, "0")}::/64`, lastMs), 0);
    }
    expect(fence.texts).toEqual(["2001:db8:0:700::/56"]);
    lift(enforcement, [requirePrefix("2001:db8::/32")], 1);
    expect(fence.texts).toEqual([]);
  });
});

test("who is protected can be banned on no path", () => {
  const protect = ["192.0.2.1", "198.51.100.0/24", "2001:db8::1"];
  const { fence, enforcement, bans, counters } = setUp({ protect });
  for (const text of [
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "198.51.100.7",
    "198.51.0.0/16",
    "2001:db8::/64",
    "2001:db8::1",
    "::/0",
  ]) {
    expect(enforcement.ban(requestOf(text, 1000), 0)).toMatchObject({ kind: "spared" });
    expect(enforcement.banMany([requestOf(text, 1000)], 0)).toMatchObject([{ kind: "spared" }]);
    const foreign = { ...recordOf(text, 1000), origin: "foreign" } as const;
    expect(enforcement.adopt([foreign], 0)).toMatchObject([{ kind: "spared" }]);
    expect([bans.size, fence.calls, counters.bansTotal]).toEqual([0, [], 0]);
    // One that is there is taken out: nobody else would.
    const record = recordOf(text, 1000);
    expect(enforcement.adopt([record], 0)).toMatchObject([{ kind: "spared" }]);
    expect(fence.calls.splice(0)).toEqual([`drop ${record.prefix.text}`]);
  }
  expect([bans.size, fence.calls, counters.bansTotal]).toEqual([0, [], 0]);
  expect(enforcement.ban(requestOf("2001:db8::2", 1000), 0)).toMatchObject({ kind: "banned" });
});

describe("whatever happens", () => {
  type Step = (setting: ReturnType<typeof setUp>, clock: { nowMs: number }) => void;

  const texts = [
    ...Array.from({ length: 6 }, (_, number) => `192.0.2.${number}`),
    "192.0.2.0/30",
    "2001:db8::/64",
    "2001:db8:0:1::/64",
    "2001:db8::/48",
    "2001:db8::7",
  ];
  const text = fc.constantFrom(...texts);
  const forMs = fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.constant(Number.POSITIVE_INFINITY));
  const request = fc.tuple(text, forMs);
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 3,
      arbitrary: request.map(
        ([prefix, ms]): Step =>
          ({ enforcement }, { nowMs }) =>
            void enforcement.ban(requestOf(prefix, ms, nowMs), nowMs),
      ),
    },
    fc.array(request, { maxLength: 6 }).map(
      (requests): Step =>
        ({ enforcement }, { nowMs }) =>
          void enforcement.banMany(
            requests.map(([prefix, ms]) => requestOf(prefix, ms, nowMs)),
            nowMs,
          ),
    ),
    fc.array(text, { maxLength: 3 }).map(
      (list): Step =>
        ({ enforcement }, { nowMs }) =>
          void lift(enforcement, list.map(requirePrefix), nowMs),
    ),
    fc.constantFrom("192.0.2.1", "192.0.2.5", "2001:db8::7").map(
      (address): Step =>
        ({ enforcement, bans }, { nowMs }) => {
          const single = requirePrefix(address);
          const out = [...bans.all()].some((ban) => ban.untilMs > nowMs && contains(ban.prefix, single));
          expect(enforcement.refuses(clientAt(address), nowMs)).toBe(out);
        },
    ),
    fc.nat(5000).map(
      (ms): Step =>
        ({ enforcement }, clock) => {
          clock.nowMs += ms;
          enforcement.sweep(clock.nowMs);
        },
    ),
  );

  test("table and kernel tell the same, and who is not in the kernel is known to be absent", () => {
    const capacity = fc.constantFrom(3, 6, 100);
    const room = fc.constantFrom(1, 2, 4, 100);
    fc.assert(
      fc.property(capacity, room, fc.array(step, { maxLength: 40 }), (most, entries, steps) => {
        const setting = setUp({ capacity: most, room: entries });
        const clock = { nowMs: 1_000_000 };
        for (const next of steps) {
          next(setting, clock);
          const { bans, fence, enforcement } = setting;
          for (const entry of fence.entries.values()) {
            expect(bans.get(entry.prefix)?.untilMs).toBe(entry.expiresMs);
          }
          expect(enforcement.userSpaceOnly).toBe(bans.size - fence.entries.size);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a full map holds the bans that end last", () => {
    const source = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 100 }));
    const requests = fc.uniqueArray(source, { selector: ([number]) => number, maxLength: 40 });
    fc.assert(
      fc.property(requests, (list) => {
        const { enforcement, fence, bans } = setUp({ room: 4 });
        for (const [number, seconds] of list) enforcement.ban(requestOf(`192.0.2.${number}`, seconds * 1000), 0);
        const all = [...bans.all()].map(({ untilMs }) => untilMs).toSorted((a, b) => b - a);
        const held = [...fence.entries.values()].map(({ expiresMs }) => expiresMs).toSorted((a, b) => b - a);
        expect(held).toEqual(all.slice(0, 4));
      }),
      { numRuns: 300 },
    );
  });
});

describe("who listens", () => {
  test("is told what the kernel did with each ban, alone or among many", () => {
    const events = new Events(100, 0);
    const fence = new SmallFence(1);
    const enforcement = new Enforcement(new Bans(100, 64), new NeverBan(), fence, newBanCounters());
    enforcement.follow(new BanEvents(events, false));
    const told = (from: number) =>
      events.after(from, 100).events.map(({ event }) => {
        if (event.type === "upstream" || event.type === "unseen") throw new Error(`No ${event.type} is about`);
        return `${event.type} ${event.source} ${event.kernel} ${event.leftMs}`;
      });
    enforcement.ban(requestOf("192.0.2.1", 5000), 0);
    enforcement.ban(requestOf("198.51.100.1", 1000), 0);
    enforcement.banMany([requestOf("203.0.113.1", 1000), requestOf("2001:db8::/64", 1000)], 0);
    expect(told(0)).toEqual([
      "ban 192.0.2.1 enforced 5000",
      "ban 198.51.100.1 full 1000",
      "ban 203.0.113.1 full 1000",
      "ban 2001:db8::/64 enforced 1000",
    ]);
    fence.failing = "EPERM";
    enforcement.ban(requestOf("192.0.2.9", 9000, 100), 100);
    enforcement.banMany([requestOf("192.0.2.10", 9000, 100)], 100);
    expect(told(4)).toEqual(["ban 192.0.2.9 failed 9000", "ban 192.0.2.10 failed 9000"]);
    for (const [address, blocked] of [
      ["192.0.2.1", true],
      ["198.51.100.1", false],
      ["192.0.2.9", false],
      ["192.0.2.77", false],
    ] as const) {
      expect(enforcement.isFenced(new Client(address, 1, 64), 200)).toBe(blocked);
    }
    expect(enforcement.isFenced(new Client("192.0.2.1", 1, 64), 5000)).toBe(false);
  });

  test("hears of a replaced ban, but not of those that a list itself takes back", () => {
    const events = new Events(100, 0);
    const enforcement = new Enforcement(new Bans(2, 64), new NeverBan(), undefined, newBanCounters());
    enforcement.follow(new BanEvents(events, false));
    const requests = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"];
    enforcement.banMany(
      requests.map((text, index) => requestOf(text, 1000 * (index + 1))),
      0,
    );
    const standing = new Set<string>();
    for (const { event } of events.after(0, 100).events) {
      if (event.type === "ban") standing.add(event.source);
      else if (event.type === "end") standing.delete(event.source);
    }
    expect([...standing].sort()).toEqual([...enforcement.bans.all()].map(({ prefix }) => prefix.text).sort());
  });
});

describe("claims on one source", () => {
  const source = requirePrefix("192.0.2.1");
  const minuteMs = 60_000;
  const weekMs = 7 * 24 * 3_600_000;

  function claim(origin: BanRequest["origin"], untilMs: number): BanRequest {
    return { prefix: source, reason: origin, origin, untilMs };
  }

  test("a shorter ban never ends a longer one, whoever asks", () => {
    for (const [first, second] of [
      ["operator", "operator"],
      ["operator", "sniffer"],
      ["list:drop", "operator"],
    ] as const) {
      const { enforcement, fence, bans } = setUp();
      enforcement.ban(claim(first, weekMs), 0);
      expect(enforcement.ban(claim(second, minuteMs), 0)).toMatchObject({ kind: "banned", ban: { untilMs: weekMs } });
      expect(fence.entries.get(source.text)).toMatchObject({ expiresMs: weekMs, origin: first });
      expect(enforcement.sweep(minuteMs + 1)).toBe(0);
      expect(bans.get(source)?.untilMs).toBe(weekMs);
    }
  });

  test("the last one to end keeps the source out; each is named", () => {
    const { enforcement, fence, bans } = setUp();
    enforcement.ban(claim("sniffer", minuteMs), 0);
    enforcement.ban(claim("list:drop", 2 * minuteMs), 0);
    enforcement.ban(claim("operator", 3 * minuteMs), 0);
    const ban = bans.get(source);
    const origins = (nowMs: number) => ban && claimsOf(ban, nowMs).map(({ origin }) => origin);
    expect([origins(1), origins(2 * minuteMs)]).toEqual([["operator", "list:drop", "sniffer"], ["operator"]]);
    expect(fence.entries.get(source.text)).toMatchObject({ expiresMs: 3 * minuteMs, reason: "operator" });
  });

  test("an origin lifts its own; an operator lifts all", () => {
    const { enforcement, fence, bans } = setUp();
    const changes: BanChange[] = [];
    enforcement.follow({ bansChanged: (more) => void changes.push(...more) });
    enforcement.ban(claim("fail2ban", 3 * minuteMs), 0);
    enforcement.ban(claim("sniffer", minuteMs), 0);
    expect(lift(enforcement, [source], 1, "crowdsec")).toEqual([]);
    expect(bans.get(source)?.untilMs).toBe(3 * minuteMs);
    expect(lift(enforcement, [source], 1, "fail2ban")).toEqual([]);
    expect(fence.entries.get(source.text)).toMatchObject({ expiresMs: minuteMs, origin: "sniffer" });
    enforcement.ban(claim("fail2ban", 3 * minuteMs), 2);
    expect(lift(enforcement, [source], 3)).toHaveLength(1);
    expect([fence.entries.size, bans.size]).toEqual([0, 0]);
    expect(changes.map(({ kind }) => kind)).toEqual(["ban", "ban", "release", "ban", "lift"]);
  });

  test("another tool's shorter entry is put right, its longer one stands", () => {
    const { enforcement, fence, bans } = setUp();
    enforcement.ban(claim("sniffer", 3 * minuteMs), 0);
    enforcement.adopt([recordOf(source.text, minuteMs)], 0);
    expect(fence.entries.get(source.text)).toMatchObject({ expiresMs: 3 * minuteMs, origin: "sniffer" });
    enforcement.adopt([recordOf(source.text, 9 * minuteMs)], 0);
    expect(bans.get(source)).toMatchObject({ origin: "map", untilMs: 9 * minuteMs });
  });

  test("a foreign entry outlives an operator's lift, and nothing else does", () => {
    const { enforcement, bans } = setUp();
    enforcement.adopt([{ ...recordOf(source.text, Number.POSITIVE_INFINITY), origin: "foreign" }], 0);
    enforcement.ban(claim("sniffer", minuteMs), 0);
    expect(lift(enforcement, [source], 1)).toEqual([]);
    const left = bans.get(source);
    expect(left && claimsOf(left, 1).map(({ origin }) => origin)).toEqual(["foreign"]);
  });

  test("a source that is never banned from now on is let in at once", () => {
    const { enforcement, fence, bans } = setUp();
    const changes: BanChange[] = [];
    enforcement.follow({ bansChanged: (more) => void changes.push(...more) });
    enforcement.ban(claim("sniffer", minuteMs), 0);
    enforcement.ban({ ...claim("operator", minuteMs), prefix: requirePrefix("198.51.100.0/24") }, 0);
    finished(enforcement.protect([{ prefix: source, why: "gateway of eth0" }], () => 1));
    expect([[...bans.all()].map(({ prefix }) => prefix.text), fence.texts]).toEqual([
      ["198.51.100.0/24"],
      ["198.51.100.0/24"],
    ]);
    expect(changes.at(-1)).toMatchObject({ kind: "end", by: { why: "gateway of eth0" } });
    expect(enforcement.ban(claim("sniffer", minuteMs), 2)).toMatchObject({ kind: "spared" });
  });
});

describe("a ban that holds at one gate alone", () => {
  const local = (text: string, forMs: number, gate: string): BanRequest => ({
    ...requestOf(text, forMs),
    gate,
    isLocal: true,
  });
  const everywhere = (text: string, forMs: number, gate: string) => ({ ...local(text, forMs, gate), isLocal: false });
  const one = clientAt("192.0.2.1");

  test("is refused there, and nowhere else, and is in no fence", () => {
    const { enforcement, fence } = setUp();
    expect(enforcement.ban(local("192.0.2.1", 1000, "a"), 0)).toMatchObject({ kind: "banned", fence: undefined });
    expect([enforcement.refuses(one, 0, "a"), enforcement.refuses(one, 0, "b")]).toEqual([true, false]);
    expect([enforcement.isFenced(one, 0), enforcement.userSpaceOnly, fence.texts]).toEqual([false, 0, []]);
    expect(enforcement.refuses(one, 1000, "a")).toBe(false);
  });

  test("at two gates is two claims, each with its end", () => {
    const { enforcement } = setUp();
    enforcement.ban(local("192.0.2.1", 1000, "a"), 0);
    enforcement.ban(local("192.0.2.1", 5000, "b"), 0);
    expect([enforcement.refuses(one, 2000, "a"), enforcement.refuses(one, 2000, "b")]).toEqual([false, true]);
  });

  test("beside one that holds everywhere lets the fence have that, to its own end", () => {
    const { enforcement, fence } = setUp();
    enforcement.ban(local("192.0.2.1", 9000, "a"), 0);
    enforcement.ban(everywhere("192.0.2.1", 2000, "b"), 0);
    expect(fence.entries.get("192.0.2.1")).toMatchObject({ expiresMs: 2000 });
    expect([enforcement.isFenced(one, 1000), enforcement.isFenced(one, 3000)]).toEqual([true, false]);
    expect(["a", "b", "c"].map((gate) => enforcement.refuses(one, 1000, gate))).toEqual([true, true, true]);
    expect(["a", "b", "c"].map((gate) => enforcement.refuses(one, 3000, gate))).toEqual([true, false, false]);
    // The entry is over in the kernel: nobody took it out.
    enforcement.bans.beginRound();
    const [ban] = [...enforcement.bans.unmet()].flat();
    expect(ban && enforcement.vanished(ban, 3000)).toBe(false);
    expect(enforcement.bans.meet(requirePrefix("192.0.2.1"))).toBe(2000);
  });

  test("is what is left when the claim that holds everywhere is taken back: the fence gives the entry up", () => {
    const { enforcement, fence } = setUp();
    enforcement.ban({ ...requestOf("192.0.2.1", 9000), origin: "list:x" }, 0);
    enforcement.ban(local("192.0.2.1", 5000, "a"), 0);
    expect(fence.texts).toEqual(["192.0.2.1"]);
    lift(enforcement, [requirePrefix("192.0.2.1")], 0, "list:x");
    expect(fence.texts).toEqual([]);
    expect([enforcement.refuses(one, 0, "a"), enforcement.refuses(one, 0, "b")]).toEqual([true, false]);
  });

  test("does not hide a range that holds at the other gate", () => {
    const { enforcement } = setUp();
    enforcement.ban(local("192.0.2.1", 1000, "a"), 0);
    enforcement.ban(requestOf("192.0.2.0/24", 1000), 0);
    expect(enforcement.refuses(one, 0, "b")).toBe(true);
  });

  test("of many at once needs no room in a full map, and folds with nobody", () => {
    const { enforcement, fence } = setUp({ room: 3, capacity: 1000 });
    const texts = Array.from({ length: 200 }, (_, index) => `192.0.2.${index}`);
    enforcement.banMany(
      texts.map((text) => local(text, 1000, "a")),
      0,
    );
    for (const text of ["198.51.100.1", "198.51.100.2", "198.51.100.3"]) enforcement.ban(requestOf(text, 1000), 0);
    enforcement.ban(requestOf("192.0.2.250", 5000), 0);
    expect([enforcement.folds, enforcement.userSpaceOnly, fence.texts.length]).toEqual([0, 1, 3]);
  });

  test("ends by an operator's lift", () => {
    const { enforcement } = setUp();
    enforcement.ban(local("192.0.2.1", 1000, "a"), 0);
    expect(lift(enforcement, [requirePrefix("192.0.2.1")], 0)).toHaveLength(1);
    expect(enforcement.bans.size).toBe(0);
  });
});
