// SPDX-License-Identifier: Apache-2.0
// Whatever goes through the whole table does so in pieces with a turn for the relay in between: how much is done in
// one of them is counted here, since times are another matter on every machine.
import { expect, spyOn, test } from "bun:test";
import { type Prefix, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { Ban } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import type { Fence, FenceEntry, FenceOutcome } from "../../../src/core/bans/fence.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Offenders } from "../../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { takeUp } from "../../../src/daemon/state/state.ts";
import { StateFile } from "../../../src/daemon/state/state_file.ts";
import { banList } from "../../../src/sources/list.ts";
import { Operator } from "../../../src/sources/operator.ts";
import { TempDir } from "../../harness/temp_dir.ts";

const count = 20_000;
/** Of entries written or taken out between two turns. */
const most = 500;

/** Has room for all, and counts what is asked of it. */
class CountingFence implements Partial<Fence> {
  readonly entries = new Set<string>();
  asked = 0;

  mapOf(): string {
    return "map";
  }

  put({ prefix }: FenceEntry): FenceOutcome {
    this.asked++;
    this.entries.add(prefix.text);
    return { kind: "enforced" };
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    return entries.map((entry) => this.put(entry));
  }

  drop(prefix: Prefix): boolean {
    this.asked++;
    return this.entries.delete(prefix.text);
  }

  dropMany(prefixes: readonly Prefix[]): number {
    return prefixes.filter((prefix) => this.drop(prefix)).length;
  }
}

function textAt(number: number): string {
  return `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
}

function setUp(size = count) {
  const fence = new CountingFence();
  const bans = new Bans(1_000_000, 64);
  const enforcement = new Enforcement(bans, new NeverBan(), fence as unknown as Fence, newBanCounters());
  const requests = Array.from({ length: size }, (_, number) => ({
    ...{ prefix: requirePrefix(textAt(number)), reason: "http", origin: "sniffer" as const, untilMs: 60_000 },
  }));
  enforcement.banMany(requests, 0);
  fence.asked = 0;
  return { fence, bans, enforcement };
}

/** @returns the most that the fence was asked for between two turns, and how many turns there were. */
function turnsOf(fence: CountingFence, work: Generator<unknown, unknown, void>): { most: number; turns: number } {
  const asked: number[] = [];
  for (let isOver = false; !isOver; ) {
    const before = fence.asked;
    isOver = work.next().done === true;
    asked.push(fence.asked - before);
  }
  return { most: Math.max(...asked), turns: asked.length };
}

test("a lift of a range ends a few bans in each turn", () => {
  const { fence, bans, enforcement } = setUp();
  const turns = turnsOf(
    fence,
    enforcement.lift([requirePrefix("10.0.0.0/9")], () => 1),
  );
  expect([bans.size, fence.entries.size]).toEqual([0, 0]);
  // Fewer than elsewhere: the first of them are run as cold code.
  expect(turns.most).toBeLessThanOrEqual(100);
  expect(turns.turns).toBeGreaterThan(count / 100);
});

test("a change of the never-ban list ends a few bans in each turn, and makes no new ones possible at once", () => {
  const { fence, bans, enforcement } = setUp();
  const entries = [{ prefix: requirePrefix("10.0.0.0/18"), why: "--allow" }];
  const work = enforcement.protect(entries, () => 1);
  work.next();
  const request = { prefix: requirePrefix("10.0.63.255"), reason: "http", origin: "sniffer" as const, untilMs: 9000 };
  expect(enforcement.ban(request, 1)).toMatchObject({ kind: "spared" });
  expect(turnsOf(fence, work).most).toBeLessThanOrEqual(most);
  expect([bans.size, fence.entries.size]).toEqual([count - 16_384, count - 16_384]);
  // The list as it is: nothing is looked at.
  expect(
    turnsOf(
      fence,
      enforcement.protect(entries, () => 1),
    ).turns,
  ).toBe(1);
});

test("a long never-ban list is compared with fewer bans in each turn", () => {
  const { enforcement, fence } = setUp();
  const entries = Array.from({ length: 1000 }, (_, number) => ({
    ...{ prefix: requirePrefix(`203.0.${number >> 8}.${number & 255}`), why: "--allow" },
  }));
  expect(
    turnsOf(
      fence,
      enforcement.protect(entries, () => 1),
    ).turns,
  ).toBeGreaterThan((count * 1000) / 4000);
});

test("an empty fence is filled with a few bans in each turn", () => {
  const { fence, enforcement } = setUp();
  fence.entries.clear();
  expect(
    turnsOf(
      fence,
      enforcement.refill(() => 1),
    ).most,
  ).toBeLessThanOrEqual(most);
  expect(fence.entries.size).toBe(count);
});

test("bans that end together leave a few in each turn", () => {
  const { fence, bans, enforcement } = setUp();
  function* sweeps() {
    while (enforcement.sweep(60_000) > 0) yield;
  }
  expect(turnsOf(fence, sweeps()).most).toBeLessThanOrEqual(most);
  expect([bans.size, fence.entries.size]).toEqual([0, 0]);
});

/** Counts what is done in each turn of the event loop while something goes on. */
async function mostInATurn(done: () => number, work: Promise<unknown>): Promise<number> {
  let isOver = false;
  let last = done();
  let highest = 0;
  void work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    highest = Math.max(highest, done() - last);
    last = done();
  }
  await work;
  return highest;
}

test("a list of bans reaches the fence a few lines in each turn", async () => {
  const { fence, bans, enforcement } = setUp(0);
  const operator = new Operator({ enforcement, timeoutMs: () => 60_000, ipv6Bits: 64, nowMs: () => 0 });
  const lines = Array.from({ length: count }, (_, number) => textAt(number)).join("\n");
  const work = banList(operator, lines, { forMs: undefined, force: false, name: undefined });
  expect(await mostInATurn(() => fence.asked, work)).toBeLessThanOrEqual(most);
  expect([bans.size, fence.entries.size]).toEqual([count, count]);
});

test("the state is written and read a few bans in each turn", async () => {
  using directory = new TempDir();
  const { bans, enforcement } = setUp();
  let seen = 0;
  const all = bans.all.bind(bans);
  // Without `return`, as it is itself.
  class Counted extends Iterator<Ban, undefined, unknown> {
    readonly #all = all();
    next(): IteratorResult<Ban, undefined> {
      const step = this.#all.next();
      if (step.done !== true) seen++;
      return step;
    }
  }
  using _counted = spyOn(bans, "all").mockImplementation(() => new Counted());
  const path = directory.file("bans");
  const parts = { offenders: new Offenders(() => 0), moment: () => ({ nowMs: 0, wallMs: 1_800_000_000_000 }) };
  const file = new StateFile({ path, bans, ...parts, log: () => {} });
  enforcement.follow(file);
  expect(await mostInATurn(() => seen, file.save())).toBeLessThanOrEqual(most);
  expect(seen).toBe(count);
  await file.close();
  const next = setUp(0);

  const reading = takeUp(path, { enforcement: next.enforcement, ...parts });
  // A piece of the file has 64 KiB.
  expect(await mostInATurn(() => next.fence.asked, reading)).toBeLessThanOrEqual(2 * most);
  expect(next.bans.size).toBe(count);
});
