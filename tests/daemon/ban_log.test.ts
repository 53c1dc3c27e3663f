// SPDX-License-Identifier: Apache-2.0
// What the log says of sources that are never banned: that, and not that somebody was banned.
import { beforeEach, expect, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import type { Fence, FenceEntry } from "../../src/core/bans/fence.ts";
import { NeverBan } from "../../src/core/bans/never_ban.ts";
import { Offenders } from "../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../src/core/counters.ts";
import { BanLog } from "../../src/daemon/ban_log.ts";
import type { Spared } from "../../src/sources/client_bans.ts";
import { lifted } from "../harness/lifted.ts";

let told: string[];
let log: BanLog;

beforeEach(() => {
  told = [];
  log = new BanLog({
    log: (_level, message) => void told.push(message),
    dryRun: false,
    refusalOf: () => ({ by: "kernel", why: null }),
    mayAcceptProxy: (gate) => gate !== "inline",
    offenders: new Offenders(() => 0),
  });
});

function probe(source: string, said = "GET /"): Spared {
  const firstBytes = new TextEncoder().encode(said);
  const evidence = { firstBytes, clientAddress: source, clientPort: 4711, gatePort: 5000 };
  return {
    source,
    gate: "default",
    offence: { origin: "sniffer", reason: "http", evidence },
    by: "never-ban",
    because: "192.0.2.0/24 is never banned (--allow)",
  };
}

/** Twice a second, as the daemon does. */
function passes(fromMs: number, untilMs: number): void {
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += 500) log.flush(nowMs);
}

const tail = 'it spoke http to port 5000, first bytes "GET /last", but 192.0.2.0/24 is never banned (--allow)';

test("a source that is spared again and again has a line at once, and one a minute with the number", () => {
  for (let second = 0; second < 280; second++) {
    log.spared(probe("192.0.2.1", second % 60 === 0 ? "GET /last" : "GET /"), second * 1000);
    if (second % 60 === 0) log.spared(probe("192.0.2.1", "GET /last"), second * 1000);
    log.flush(second * 1000);
  }
  expect(told[0]).toBe(`Did not ban 192.0.2.1: ${tail}`);
  expect(told[1]).toBe(`Did not ban 192.0.2.1, 62 more times within 1m: ${tail}`);
  expect(told).toHaveLength(5);
});

test("a source that has been silent for a minute is told of at once again", () => {
  log.spared(probe("192.0.2.1"), 0);
  passes(0, 61_000);
  expect(told).toHaveLength(1);
  log.spared(probe("192.0.2.1"), 61_000);
  expect(told).toHaveLength(2);
  expect(told[1]).toBe(told[0] as string);
});

test("every source has its own line, and what is held back is not called a ban", () => {
  for (let number = 0; number < 250; number++) log.spared(probe(`192.0.2.${number}`), 0);
  log.flush(0);
  expect(told).toHaveLength(21);
  expect(told.slice(0, 20).every((line) => line.startsWith("Did not ban 192.0.2."))).toBe(true);
  expect(told[20]).toStartWith("More than 20 lines about sources that were spared within 60 s");
  log.close();
  expect(told[21]).toBe("Held back: 230 about sources that were spared");
});

test("more sources than are kept in mind are told of one by one", () => {
  for (let number = 0; number < 10_000; number++) log.spared(probe(`10.0.${number >> 8}.${number & 255}`), number);
  log.spared(probe("10.0.0.0"), 10_001);
  log.spared(probe("10.0.39.0"), 10_001);
  log.close();
  expect(told).toHaveLength(21);
  expect(told[20]).toBe("Held back: 9981 about sources that were spared");
});

/** Takes every entry. */
const roomy: Partial<Fence> = {
  mapOf: () => "map",
  putMany: (entries: readonly FenceEntry[]) => entries.map(() => ({ kind: "enforced" as const })),
};

test("the way of each source is asked for where a line tells of it, and not for those that are held back", () => {
  let asked = 0;
  const refusalOf = () => {
    asked++;
    return { by: "kernel", why: null } as const;
  };
  const many = new BanLog({
    ...{
      log: (_level: unknown, message: string) => void told.push(message),
      dryRun: false,
      refusalOf,
      mayAcceptProxy: () => true,
    },
    offenders: new Offenders(() => 0),
  });
  const enforcement = new Enforcement(new Bans(100_000, 64), new NeverBan(), roomy as Fence, newBanCounters());
  enforcement.follow(many);
  const slices = 200;
  for (let slice = 0; slice < slices; slice++) {
    const requests = Array.from({ length: 50 }, (_, at) => ({
      ...{ prefix: requirePrefix(`10.${slice}.0.${at}`), reason: "manual", origin: "operator" as const },
      untilMs: 60_000,
    }));
    enforcement.banMany(requests, 0);
  }
  expect(told[0]).toContain("Banned 50 sources, 10.0.0.0 and others");
  expect(told[0]).toContain("50 of them blocked in the kernel");
  expect(told.length).toBeLessThan(slices);
  expect(asked).toBe(50 * told.filter((line) => line.startsWith("Banned ")).length);
});

test("several lifts are one line", () => {
  const told: string[] = [];
  const enforcement = new Enforcement(new Bans(10, 64), new NeverBan(), undefined, newBanCounters());
  const both = ["10.0.0.0", "10.0.0.1"].map(requirePrefix);
  const requests = both.map((prefix) => ({ prefix, reason: "manual", origin: "operator" as const, untilMs: 60_000 }));
  enforcement.banMany(requests, 0);
  enforcement.follow(
    new BanLog({
      ...{
        log: (_level: unknown, message: string) => void told.push(message),
        dryRun: false,
        mayAcceptProxy: () => true,
      },
      ...{ offenders: new Offenders(() => 0), refusalOf: () => ({ by: "kernel", why: null }) as const },
    }),
  );
  lifted(enforcement, both, 1);
  expect(told).toEqual(["Lifted 2 bans (10.0.0.0 and others): by command"]);
});

test("whoever spoke PROXY protocol may be a load balancer, with all who are behind it", () => {
  const enforcement = new Enforcement(new Bans(10, 64), new NeverBan(), undefined, newBanCounters());
  enforcement.follow(log);
  const firstBytes = new TextEncoder().encode("PROXY TCP4 ");
  const evidence = { firstBytes, clientAddress: "2001:db8::7", clientPort: 4711, gatePort: 5000 };
  const request = { prefix: requirePrefix("2001:db8::/64"), origin: "sniffer", untilMs: 600_000, evidence } as const;
  enforcement.ban({ ...request, reason: "proxy" }, 0);
  expect(told[0]).toEndWith("; a load balancer of yours? --accept-proxy 2001:db8::7 believes its headers");
  enforcement.ban({ ...request, prefix: requirePrefix("192.0.2.1"), reason: "http" }, 0);
  expect(told[1]).not.toContain("balancer");
  // Who the kernel bans came to a gate that can have no proxy in front, and so does who came to such a gate.
  const others = [{ origin: "kernel" }, { origin: "sniffer", gate: "inline" }] as const;
  for (const [at, other] of others.entries()) {
    enforcement.ban({ ...request, prefix: requirePrefix(`192.0.2.${at + 2}`), reason: "proxy", ...other }, 0);
  }
  expect(told.slice(2)).toEqual([expect.stringContaining("192.0.2.2"), expect.stringContaining("192.0.2.3")]);
  expect(told.slice(2).join()).not.toContain("balancer");
});
