// SPDX-License-Identifier: Apache-2.0
import { expect, spyOn, test } from "bun:test";
import { type Prefix, requirePrefix } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import type { BanChange } from "../../src/core/bans/change.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import type {
  EntryTest,
  Fence,
  FenceEntry,
  FenceOutcome,
  FenceRecord,
  FenceStatus,
} from "../../src/core/bans/fence.ts";
import { NeverBan } from "../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../src/core/counters.ts";
import { MapWatch } from "../../src/sources/map_watch.ts";

const nowMs = 1000;
const prefix = requirePrefix("192.0.2.1");
const record: FenceRecord = {
  ...{ prefix, expiresMs: nowMs + 60_000, reason: "http", origin: "kernel" },
  ...{ packets: 0, bytes: 0, lastSeenMs: undefined },
};

/** A fence that has one entry, and takes whatever it is given. */
const fence = {
  mapOf: () => "ipv4",
  put: () => ({ kind: "enforced" }),
  *records() {
    yield [record];
  },
  record: () => record,
  status: () => ({ evicts: false }),
} as unknown as Fence;

/** One that keeps what it is given, and counts what is made of it. */
class KeepingFence implements Partial<Fence> {
  readonly entries = new Map<string, FenceRecord>();
  readonly evicts: boolean;
  made = 0;
  lookedUp: string[] = [];

  constructor(evicts = false) {
    this.evicts = evicts;
  }

  mapOf(): string {
    return "ipv4";
  }

  put(entry: FenceEntry): FenceOutcome {
    this.entries.set(entry.prefix.text, { ...record, ...entry });
    return { kind: "enforced" };
  }

  *records(isWanted: EntryTest): Generator<readonly FenceRecord[], void, void> {
    const wanted = [...this.entries.values()].filter((one) => isWanted(one.prefix, one.expiresMs, one.packets));
    this.made += wanted.length;
    yield wanted;
  }

  record({ text }: Prefix): FenceRecord | undefined {
    this.lookedUp.push(text);
    return this.entries.get(text);
  }

  status(): FenceStatus {
    return { evicts: this.evicts } as FenceStatus;
  }
}

function keeping(count: number, evicts = false) {
  const kept = new KeepingFence(evicts);
  const enforcement = new Enforcement(new Bans(1000, 64), new NeverBan(), kept as unknown as Fence, newBanCounters());
  for (let number = 0; number < count; number++) {
    const request = { prefix: requirePrefix(`10.0.0.${number}`), reason: "http", origin: "sniffer" as const };
    enforcement.ban({ ...request, untilMs: nowMs + 60_000 }, nowMs);
  }
  const parts = { log: () => {}, nowMs: () => nowMs, settle: () => true };
  return { kept, enforcement, watch: new MapWatch(kept as unknown as Fence, enforcement, parts) };
}

function watched(settle: (enforcement: Enforcement) => boolean) {
  const enforcement = new Enforcement(new Bans(10, 64), new NeverBan(), fence, newBanCounters());
  const changes: BanChange[] = [];
  enforcement.follow({ bansChanged: (told) => changes.push(...told) });
  const parts = { log: () => {}, nowMs: () => nowMs, settle: () => settle(enforcement) };
  return { watch: new MapWatch(fence, enforcement, parts), changes };
}

const evidence = {
  ...{ firstBytes: new Uint8Array([71]), clientAddress: "192.0.2.1" },
  ...{ clientPort: 4711, gatePort: 5000 },
};

test("a ban that the kernel has decided and not told yet is told once, with its evidence", async () => {
  const { watch, changes } = watched((enforcement) => {
    enforcement.ban({ prefix, reason: "http", origin: "kernel", untilMs: nowMs + 60_010, evidence }, nowMs);
    return true;
  });
  await watch.step();
  expect(changes).toMatchObject([{ kind: "ban", isAdopted: false, claim: { evidence } }]);
});

test("what the kernel tells nothing of is taken up, once all that it tells is known", async () => {
  let isSettled = false;
  const { watch, changes } = watched(() => isSettled);
  await watch.step();
  expect(changes).toEqual([]);
  isSettled = true;
  await watch.step();
  expect(changes).toMatchObject([{ kind: "ban", isAdopted: true, claim: { origin: "kernel" } }]);
});

/** At least so many: a step does a piece where there is no time for more, and a round has six. */
async function rounds(watch: MapWatch, count: number): Promise<void> {
  for (let step = 0; step < 6 * count; step++) await watch.step();
}

test("a walk through what is known makes and looks up nothing", async () => {
  const { kept, enforcement, watch } = keeping(200);
  await rounds(watch, 300);
  expect([kept.made, kept.lookedUp, enforcement.bans.size]).toEqual([0, [], 200]);
});

test("what another tool took out is let go, and is written anew where the kernel makes room by itself", async () => {
  for (const evicts of [false, true]) {
    const { kept, enforcement, watch } = keeping(200, evicts);
    await rounds(watch, 1);
    for (const text of ["10.0.0.0", "10.0.0.77", "10.0.0.199"]) kept.entries.delete(text);
    await rounds(watch, 2);
    expect(kept.lookedUp).toEqual(["10.0.0.0", "10.0.0.77", "10.0.0.199"]);
    expect([enforcement.bans.size, kept.entries.size]).toEqual(evicts ? [200, 200] : [197, 197]);
  }
});

test("a ban that comes behind the walk is not let go", async () => {
  const { kept, enforcement, watch } = keeping(2);
  const late = {
    prefix: requirePrefix("10.0.0.9"),
    reason: "http",
    origin: "sniffer" as const,
    untilMs: nowMs + 60_000,
  };
  // The map's answer is made before, and does not have it.
  const before = [...kept.entries.values()];
  kept.records = function* () {
    enforcement.ban(late, nowMs);
    yield before;
  };
  await rounds(watch, 1);
  expect(kept.lookedUp).toContain("10.0.0.9");
  expect(enforcement.bans.get(late.prefix)).toBeDefined();
});

test("a step takes its ten milliseconds however long everything else takes in between", async () => {
  const { kept, watch } = keeping(2);
  let clockMs = 0;
  let slices = 0;
  using _clock = spyOn(performance, "now").mockImplementation(() => clockMs);
  kept.records = function* () {
    for (;;) {
      clockMs += 0.6;
      slices++;
      yield [];
    }
  };
  let isOver = false;
  const relay = () => {
    clockMs += 5;
    if (!isOver) setImmediate(relay);
  };
  relay();
  await watch.step();
  isOver = true;
  expect(slices).toBe(17);
});

test("without a fence of its own, as in an inline dry run, an entry for somebody never banned stays, and is told so", async () => {
  const neverBan = new NeverBan([{ prefix, why: "--allow" }]);
  const enforcement = new Enforcement(new Bans(10, 64), neverBan, undefined, newBanCounters());
  const told: string[] = [];
  const log = (_level: unknown, message: string) => void told.push(message);
  const watch = new MapWatch(fence, enforcement, { log, nowMs: () => nowMs, settle: () => true });
  for (let round = 0; round < 2; round++) await watch.step();
  expect(told).toEqual([
    "The map holds 192.0.2.1, which covers 192.0.2.1 (--allow) and is never banned: a dry run takes nothing out",
  ]);
});
