// SPDX-License-Identifier: Apache-2.0
// Somebody comes at a steady rate and waits for nobody, until SIGTERM.
import process from "node:process";
import { sleep } from "./wait.ts";

/** @param ratePerSecond how many begin in a second. Returns when all are over that had begun. */
export async function untilStopped(ratePerSecond: number, begin: () => Promise<void>): Promise<void> {
  let stopped = false;
  process.once("SIGTERM", () => {
    stopped = true;
  });
  process.stdout.write(`{"ready":true}\n`);
  const under: Set<Promise<void>> = new Set();
  const gapMs = 1000 / ratePerSecond;
  for (let at = performance.now(); !stopped; at += gapMs) {
    if (at > performance.now()) await sleep(at - performance.now());
    const one = begin().finally(() => under.delete(one));
    under.add(one);
  }
  await Promise.all(under);
}
