// SPDX-License-Identifier: Apache-2.0
// Does long work while connections are relayed: a piece of it in each turn of the event loop.
import { setImmediate } from "node:timers/promises";
import type { Work } from "../core/work.ts";

/** A connection takes half a dozen turns to be relayed, and waits for a piece in each. */
const leastMs = 0.5;
/** Of the time that everything else takes: under a flood the work gets on too, and is hardly felt. */
const share = 0.1;

export async function inTurns<T>(work: Work<T>): Promise<T> {
  let pieceMs = leastMs;
  for (;;) {
    const untilMs = performance.now() + pieceMs;
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (performance.now() < untilMs);
    const waitsSinceMs = performance.now();
    await setImmediate();
    pieceMs = Math.max(leastMs, (performance.now() - waitsSinceMs) * share);
  }
}
