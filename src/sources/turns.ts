// SPDX-License-Identifier: Apache-2.0
// Work through the whole table: a piece in each turn of the event loop, so that the relay waits for one piece and
// no longer.
import { setImmediate } from "node:timers/promises";

export async function inTurns<T>(work: Generator<void, T, void>): Promise<T> {
  let step = work.next();
  for (; step.done !== true; step = work.next()) await setImmediate();
  return step.value;
}
