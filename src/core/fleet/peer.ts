// SPDX-License-Identifier: Apache-2.0
// What is known of another gate of the fleet, and how much may still come from it: a bucket that fills by the
// minute, and a number of bans held at a time. Pure.

/** Why a ban or a lift of another gate was not taken. */
export type PeerRefusal = "rate" | "most" | "room" | "wide" | "malformed" | "neverBan";

const minuteMs = 60_000;

class Bucket {
  #tokens = 0;
  /** The first minute's are there from the start. */
  #filledMs = Number.NEGATIVE_INFINITY;

  spend(perMinute: number, nowMs: number): boolean {
    this.#fill(perMinute, nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  credit(perMinute: number, awayMs: number, nowMs: number): void {
    this.#fill(perMinute, nowMs);
    this.#tokens += (perMinute * awayMs) / minuteMs;
  }

  /** Tokens beyond a minute's are a credit: they are used up, and not made more. */
  #fill(perMinute: number, nowMs: number): void {
    const gained = ((nowMs - this.#filledMs) * perMinute) / minuteMs;
    this.#filledMs = nowMs;
    if (this.#tokens < perMinute) this.#tokens = Math.min(perMinute, this.#tokens + gained);
  }
}

export class Peer {
  readonly name: string;
  taken = 0;
  lifted = 0;
  readonly refused: Record<PeerRefusal, number> = { rate: 0, most: 0, room: 0, wide: 0, malformed: 0, neverBan: 0 };
  /** Something was left with the engine: the gate is read anew when there is room again. */
  isDeferred = false;
  /** The log named too many sources that it has no word of: it is read as a whole instead. */
  isHollow = false;
  hollow = 0;
  /** The engine's clock was set since this gate last wrote: its records are by another one. */
  isOutdated = false;
  /** Number of the last hint of this gate that was followed; undefined: none yet. */
  lastHint: number | undefined;
  readAtMs = Number.NEGATIVE_INFINITY;
  /** By the minute that they end in; without an end under Infinity. */
  readonly #held = new Map<number, number>();
  #heldNow = 0;
  readonly #taking = new Bucket();
  readonly #hollow = new Bucket();
  #countedMinute = Number.NEGATIVE_INFINITY;

  constructor(name: string) {
    this.name = name;
  }

  /** Bans held from this gate; those that ended are left out to the minute. */
  held(nowMs: number): number {
    const now = Math.floor(nowMs / minuteMs);
    if (now === this.#countedMinute) return this.#heldNow;
    this.#countedMinute = now;
    for (const [minute, count] of this.#held) {
      if (minute >= now) continue;
      this.#held.delete(minute);
      this.#heldNow -= count;
    }
    return this.#heldNow;
  }

  hold(untilMs: number): void {
    const minute = Math.floor(untilMs / minuteMs);
    this.#held.set(minute, (this.#held.get(minute) ?? 0) + 1);
    this.#heldNow++;
  }

  release(untilMs: number): void {
    const minute = Math.floor(untilMs / minuteMs);
    const count = this.#held.get(minute) ?? 0;
    if (count === 0) return;
    if (count === 1) this.#held.delete(minute);
    else this.#held.set(minute, count - 1);
    this.#heldNow--;
  }

  /** One more ban or lift. @returns false when it is too much for this minute. */
  spend(perMinute: number, nowMs: number): boolean {
    return this.#taking.spend(perMinute, nowMs);
  }

  /** The engine was away for so long: what gathered there meanwhile may come at once. */
  credit(perMinute: number, awayMs: number, nowMs: number): void {
    this.#taking.credit(perMinute, awayMs, nowMs);
  }

  /** One more hint at nothing: anybody may write those in its name, so it pays for none with what it says itself. */
  foundNothing(perMinute: number, nowMs: number): void {
    if (this.#hollow.spend(perMinute, nowMs)) return;
    this.hollow++;
    this.isHollow = true;
  }
}
