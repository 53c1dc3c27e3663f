// SPDX-License-Identifier: Apache-2.0
// What the log says of sources that are never banned: that, and not that somebody was banned.
import { beforeEach, expect, test } from "bun:test";
import { Offenders } from "../../src/core/bans/offenders.ts";
import { BanLog } from "../../src/daemon/ban_log.ts";
import type { Spared } from "../../src/sources/client_bans.ts";

let told: string[];
let log: BanLog;

beforeEach(() => {
  told = [];
  log = new BanLog({
    log: (_level, message) => void told.push(message),
    dryRun: () => false,
    refusalOf: () => ({ by: "kernel", why: null }),
    offenders: new Offenders(() => 0),
  });
});

function probe(source: string, said = "GET /"): Spared {
  const firstBytes = new TextEncoder().encode(said);
  const evidence = { firstBytes, clientAddress: source, clientPort: 4711, gatePort: 5000 };
  return {
    source,
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
