// SPDX-License-Identifier: Apache-2.0
// Waiting for a condition instead of for a time: a busy machine makes a test slower, not wrong.

import process from "node:process";

/** How many times as long an emulated machine may take. */
const slowness = Number(process.env["TTGATE_SLOWNESS"] ?? 1);

/** How long a test waits for something that takes milliseconds on an idle machine. */
export const patienceMs = 10_000;

export function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/**
 * Asks until the answer is something (neither undefined nor false).
 * @throws Error that names `what` when the time is over.
 */
export async function waitFor<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = patienceMs,
): Promise<T> {
  const deadline = performance.now() + timeoutMs * slowness;
  let failure: unknown;
  do {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      failure = error;
    }
    await sleep(20);
  } while (performance.now() < deadline);
  throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`, { cause: failure });
}
