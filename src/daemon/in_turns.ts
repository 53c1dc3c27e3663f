// SPDX-License-Identifier: Apache-2.0
// Does long work while connections are relayed: a piece of it in each turn of the event loop.
import { setImmediate } from "node:timers/promises";
import type { Work } from "../core/work.ts";

/** What a relayed packet waits at the most, besides the work's own longest step. */
const pieceMs = 2;

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
