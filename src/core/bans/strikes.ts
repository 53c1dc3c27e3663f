// SPDX-License-Identifier: Apache-2.0
// How often lately a source did what is no evidence once and suspicious when it goes on. Bounded: the
// source that has been quiet for longest is forgotten first.

/** What stands in the place of a protocol's name in a ban for strikes. */
export const refusedByServer = "refused";
export const undecidedTooOften = "undecided";
export const tooManyConnections = "excess";
/** In a sentence, true for each strike that counts: also a near miss is no expected protocol. */
export const conducts: ReadonlyMap<string, string> = new Map([
  [refusedByServer, "the server hung up on it again and again"],
  [undecidedTooOften, "it failed again and again to speak as expected"],
  [tooManyConnections, "it opened too many connections again and again"],
]);

/** Below it an accident or two would do. */
export const fewestStrikes = 3;
/** Strikes older than this do not count. */
export const strikeWindowMs = 600_000;
/** A source takes about 200 bytes. */
const sourceLimit = 65_536;

export class Strikes {
  readonly #limit: number;
  readonly #capacity: number;
  /** When, oldest first; sources in the order of their last strike. */
  readonly #bySource = new Map<string, number[]>();

  /** @param limit how many strikes within the window are too many. */
  constructor(limit: number, capacity = sourceLimit) {
    this.#limit = limit;
    this.#capacity = capacity;
  }

  /** @returns true when the source has had its last one; its strikes are forgotten then. */
  add(source: string, nowMs: number): boolean {
    const times = this.#recent(source, nowMs);
    this.#bySource.delete(source);
    if (times.length + 1 >= this.#limit) return true;
    times.push(nowMs);
    this.#bySource.set(source, times);
    if (this.#bySource.size <= this.#capacity) return false;
    const [quietest] = this.#bySource.keys();
    if (quietest !== undefined) this.#bySource.delete(quietest);
    return false;
  }

  lastMs(source: string): number | undefined {
    return this.#bySource.get(source)?.at(-1);
  }

  /** Those that still count. */
  recent(source: string, nowMs: number): number {
    return this.#recent(source, nowMs).length;
  }

  /** Some may be older than the window. */
  count(source: string): number {
    return this.#bySource.get(source)?.length ?? 0;
  }

  forgive(source: string): void {
    this.#bySource.delete(source);
  }

  forgiveAll(): void {
    this.#bySource.clear();
  }

  #recent(source: string, nowMs: number): number[] {
    return (this.#bySource.get(source) ?? []).filter((atMs) => nowMs - atMs < strikeWindowMs);
  }
}
