// SPDX-License-Identifier: Apache-2.0
// Folds what repeats: the first of a kind is told at once, what follows within a period together and with
// its number. Pure; the clock is the caller's.

/** Kinds kept in mind at a time; those beyond are told one by one. */
const kindsKept = 4096;

interface Kind<T> {
  latest: T;
  /** Since it was last told. */
  count: number;
  untilMs: number;
}

export class Repeats<T> {
  readonly #periodMs: number;
  readonly #tell: (latest: T, repeated: number) => void;
  readonly #kinds = new Map<string, Kind<T>>();

  /** @param tell `repeated`: 0 for the first of its kind, else how many there were after what was told last. */
  constructor(periodMs: number, tell: (latest: T, repeated: number) => void) {
    this.#periodMs = periodMs;
    this.#tell = tell;
  }

  add(kind: string, value: T, nowMs: number): void {
    const known = this.#kinds.get(kind);
    if (known !== undefined) {
      known.latest = value;
      known.count++;
      return;
    }
    if (this.#kinds.size < kindsKept) {
      this.#kinds.set(kind, { latest: value, count: 0, untilMs: nowMs + this.#periodMs });
    }
    this.#tell(value, 0);
  }

  /** Tells of the kinds whose period is over; one that was silent during it is as good as new. */
  flush(nowMs: number): void {
    for (const [name, kind] of this.#kinds) {
      // In the order of their periods, which are all of one length.
      if (kind.untilMs > nowMs) return;
      this.#kinds.delete(name);
      if (kind.count === 0) continue;
      this.#tell(kind.latest, kind.count);
      this.#kinds.set(name, { latest: kind.latest, count: 0, untilMs: nowMs + this.#periodMs });
    }
  }
}
