// SPDX-License-Identifier: Apache-2.0
// Runs alone: it compares clocks by the millisecond.
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { bootClock, kernelClock } from "../../src/kernel/clock.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { runtime } from "../../src/runtime/bun.ts";

function uptimeMs(): number {
  return Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1000;
}

test.each([
  ["by a file", undefined],
  ["by the kernel's clock", kernelClock(openLibc(runtime.native))],
])("the boot clock is that of /proc/uptime, %s", (_, source) => {
  const before = uptimeMs();
  const nowMs = bootClock(source)();
  expect(nowMs - before).toBeGreaterThanOrEqual(source === undefined ? -10 : 0);
  const after = uptimeMs();
  // The file cuts the last digit off.
  expect(after - nowMs).toBeGreaterThanOrEqual(source === undefined ? 0 : -10);
  expect(after - nowMs).toBeLessThan(50);
});

test.skipIf(!existsSync("/proc/self/ns/time"))("a time namespace for children alone does not put it off", () => {
  const main = new URL("clock_main.ts", import.meta.url).pathname;
  const { stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(Math.abs(Number(stdout))).toBeLessThan(1000);
});

test("it follows a source that jumps ahead, as after a suspend, and never goes back", async () => {
  let sleptMs = 0;
  const clock = bootClock({ resyncMs: 10, readMs: () => Math.floor((performance.now() + sleptMs) / 10) * 10 });
  const first = clock();
  expect(performance.now() - first).toBeLessThan(11);
  await sleep(20);
  sleptMs = 3_600_000;
  const second = clock();
  expect(second - first).toBeGreaterThan(3_599_900);
  sleptMs = 0;
  await sleep(20);
  expect(clock()).toBeGreaterThan(second);
});

test("a source of whole seconds comes closer with each reading", async () => {
  const startMs = performance.now() - 500;
  const clock = bootClock({ resyncMs: 5, readMs: () => Math.floor((performance.now() - startMs) / 1000) * 1000 });
  clock();
  for (let reading = 0; reading < 130; reading++) {
    await sleep(5);
    clock();
  }
  const behindMs = performance.now() - startMs - clock();
  expect(behindMs).toBeGreaterThanOrEqual(0);
  expect(behindMs).toBeLessThan(100);
});

test("a reading that takes long does not put it ahead", () => {
  const clock = bootClock({
    resyncMs: 1000,
    readMs() {
      const read = performance.now();
      while (performance.now() < read + 30);
      return read;
    },
  });
  for (let reading = 0; reading < 3; reading++) expect(clock()).toBeLessThanOrEqual(performance.now());
});
