// SPDX-License-Identifier: Apache-2.0
// --judge upstream: a source on which the server hangs up without a byte, again and again, is a stranger
// whom the profile let through. A server that is down, restarting or full hangs up on friends as well, so
// a strike counts only while there is proof that it serves others. Pure.
import { Strikes, strikeWindowMs } from "./strikes.ts";

/** A source that the server welcomed within this time is a friend, whatever happens to it now. */
const friendMs = 86_400_000;
/** Only who is welcomed takes room here, so no stranger can push a friend out. */
const friendLimit = 262_144;
/** After a sign that something is wrong with the server itself: its clients come back all at once, again and again. */
export const troubleMs = 60_000;

export class ServerStrikes {
  readonly #strikes: Strikes;
  readonly #friends = new Map<string, number>();
  #answeredMs = Number.NEGATIVE_INFINITY;
  #troubleUntilMs = Number.NEGATIVE_INFINITY;

  constructor(strikeLimit: number) {
    this.#strikes = new Strikes(strikeLimit);
  }

  /** The server answered a source and stayed. @param answeredMs when it answered. */
  welcomed(source: string, answeredMs: number): void {
    this.#answeredMs = Math.max(this.#answeredMs, answeredMs);
    this.#strikes.forgive(source);
    this.#friends.delete(source);
    this.#friends.set(source, answeredMs);
    if (this.#friends.size <= friendLimit) return;
    const [stalest] = this.#friends.keys();
    if (stalest !== undefined) this.#friends.delete(stalest);
  }

  /** The server cannot be reached, or hung up on a friend: what it did to others lately says nothing. */
  trouble(nowMs: number): void {
    this.#troubleUntilMs = nowMs + troubleMs;
    this.#strikes.forgiveAll();
  }

  /** The server hung up on a source without a byte. @returns true when that was the last strike. */
  refused(source: string, nowMs: number): boolean {
    const friendSince = this.#friends.get(source);
    if (friendSince !== undefined && nowMs - friendSince < friendMs) {
      this.trouble(nowMs);
      return false;
    }
    if (nowMs < this.#troubleUntilMs) return false;
    // One outage is one strike at most: between two the server must have answered somebody.
    const sinceMs = this.#strikes.lastMs(source) ?? nowMs - strikeWindowMs;
    return this.#answeredMs > sinceMs && this.#strikes.add(source, nowMs);
  }
}
