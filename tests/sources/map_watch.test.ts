// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import type { BanChange } from "../../src/core/bans/change.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import type { Fence, FenceRecord } from "../../src/core/bans/fence.ts";
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

test("the table is gone through only where it has more than was found in the map", async () => {
  const other = requirePrefix("192.0.2.2");
  const entries = new Map([prefix, other].map((one) => [one.text, { ...record, prefix: one }]));
  let asked = 0;
  let isMeanwhile = false;
  const map = {
    ...fence,
    putMany: (all: readonly unknown[]) => all.map(() => ({ kind: "enforced" })),
    *records() {
      if (entries.size > 0) yield [...entries.values()];
      if (!isMeanwhile) return;
      const late = requirePrefix("192.0.2.3");
      enforcement.ban({ prefix: late, reason: "http", origin: "sniffer", untilMs: nowMs + 60_000 }, nowMs);
      entries.set(late.text, { ...record, prefix: late });
    },
    record({ text }: { text: string }) {
      asked++;
      return entries.get(text);
    },
  } as unknown as Fence;
  const enforcement = new Enforcement(new Bans(10, 64), new NeverBan(), map, newBanCounters());
  const watch = new MapWatch(map, enforcement, { log: () => {}, nowMs: () => nowMs, settle: () => true });
  await watch.step();
  await watch.step();
  expect([asked, enforcement.bans.size]).toEqual([0, 2]);
  // One that comes behind the walk's back is no reason.
  isMeanwhile = true;
  await watch.step();
  expect([asked, enforcement.bans.size]).toEqual([0, 3]);
  isMeanwhile = false;
  entries.delete(other.text);
  await watch.step();
  expect(enforcement.bans.size).toBe(2);
  expect(enforcement.bans.get(other)).toBeUndefined();
  entries.clear();
  await watch.step();
  expect(enforcement.bans.size).toBe(0);
});
