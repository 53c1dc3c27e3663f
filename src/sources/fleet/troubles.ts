// SPDX-License-Identifier: Apache-2.0
// What is wrong with a fleet at the moment, told in the log when it begins and when it is over, and not again
// in between.
import { formatDuration } from "../../core/duration.ts";
import type { Log } from "../../log.ts";

interface Refused {
  counts: string;
  isDeferred: boolean;
}

/** A flood is told of once a minute. */
const tellEveryMs = 60_000;

const words: Readonly<Record<string, string>> = {
  rate: "over --fleet-rate",
  most: "over --fleet-most",
  room: "for want of room in the table",
  wide: "wider than a /32 or /64, or of one host alone",
  malformed: "not well formed",
};

export class Troubles {
  readonly #log: Log;
  readonly #current = new Map<string, string>();
  readonly #refused = new Map<string, Refused>();
  readonly #toldMs = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  told(): readonly string[] {
    const floods = [...this.#refused].filter(([, { isDeferred }]) => isDeferred);
    return [...this.#current.values(), ...floods.map(([who, { counts }]) => refusedText(who, counts))];
  }

  has(kind: string): boolean {
    return this.#current.has(kind);
  }

  set(kind: string, text: string): void {
    if (!this.#current.has(kind)) this.#log("warn", `${text}; bans stay as they are`);
    this.#current.set(kind, text);
  }

  /** @param text said where it was wrong before. */
  clear(kind: string, text?: string): void {
    if (this.#current.delete(kind) && text !== undefined) this.#log("info", text);
  }

  /** What of a gate was not taken, in all, by why. */
  refusals(who: string, counted: readonly (readonly [string, number])[], isDeferred: boolean): void {
    if (counted.length === 0) return;
    const counts = counted.map(([why, count]) => `${count} ${words[why] ?? why}`).join(", ");
    const before = this.#refused.get(who);
    this.#refused.set(who, { counts, isDeferred });
    const now = performance.now();
    if (before?.counts === counts || now - (this.#toldMs.get(who) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    this.#toldMs.set(who, now);
    this.#log("warn", `${refusedText(who, counts)}; told at most once in ${formatDuration(tellEveryMs)}`);
  }
}

function refusedText(who: string, counts: string): string {
  return `The fleet's ${who} announced more than is taken from it: ${counts}`;
}
