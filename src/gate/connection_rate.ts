// SPDX-License-Identifier: Apache-2.0
// How fast one source may open connections (--max-rate): so many at once, and as many again within a period.
// The token bucket as one number for each source, the time at which its bucket is full again (the generic cell
// rate algorithm, ITU-T I.371). Bounded: the source that has been quiet for longest is forgotten first.

import type { Rate } from "../config/forms.ts";

/** A source takes about 120 bytes. */
const sourceLimit = 65_536;

export class ConnectionRate {
  readonly #limit: number;
  #rate: Rate | undefined;
  /** Milliseconds since boot; sources in the order of their last connection that was admitted. */
  readonly #fullAtMs = new Map<string, number>();

  constructor(rate: Rate | undefined, limit = sourceLimit) {
    this.#rate = rate;
    this.#limit = limit;
  }

  /** What was counted goes on to count. */
  change(rate: Rate | undefined): void {
    this.#rate = rate;
    if (rate === undefined) this.#fullAtMs.clear();
  }

  /** @returns false when the source has no connection left for now. */
  admits(source: string, nowMs: number): boolean {
    if (this.#rate === undefined) return true;
    const { connections, periodMs } = this.#rate;
    const fullAtMs = Math.max(nowMs, this.#fullAtMs.get(source) ?? 0) + periodMs / connections;
    // Sums of fractions are not exact.
    if (fullAtMs - nowMs > periodMs + 0.001) return false;
    this.#fullAtMs.delete(source);
    this.#fullAtMs.set(source, fullAtMs);
    if (this.#fullAtMs.size > this.#limit) {
      const [quietest] = this.#fullAtMs.keys();
      if (quietest !== undefined) this.#fullAtMs.delete(quietest);
    }
    return true;
  }
}
