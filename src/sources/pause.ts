// SPDX-License-Identifier: Apache-2.0
// The wait before another attempt. What an operator mends meanwhile, a key or a certificate in its file, ends it.
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

/** Between two looks at what may be another by now. */
const lookEveryMs = 500;

/**
 * Until it is time or the signal.
 * @param used what the attempt that failed was made with: the pause is over when `read` gives something else.
 */
export async function pause<T>(durationMs: number, signal: AbortSignal, used: T, read: () => T): Promise<void> {
  const untilMs = performance.now() + durationMs;
  do {
    const leftMs = Math.max(0, untilMs - performance.now());
    await sleep(Math.min(leftMs, lookEveryMs), undefined, { signal }).catch(() => {});
  } while (!signal.aborted && performance.now() < untilMs && isDeepStrictEqual(read(), used));
}
