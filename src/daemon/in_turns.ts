// SPDX-License-Identifier: Apache-2.0
// Does long work while connections are relayed: a piece of it in each turn of the event loop.
import { setImmediate } from "node:timers/promises";
import type { Work } from "../core/work.ts";

/** A connection takes half a dozen turns to be relayed, and waits for a piece in each. */
const pieceMs = 0.5;

export async function inTurns<T>(work: Work<T>): Promise<T> {
  for (;;) {
    const until = performance.now() + pieceMs;
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (performance.now() < until);
    await setImmediate();
  }
}
