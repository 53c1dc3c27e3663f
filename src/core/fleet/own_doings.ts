// SPDX-License-Identifier: Apache-2.0
// What this gate did that the fleet is to know: sources whose announcement is due, and endings that are
// remembered so that nobody who was away brings a ban back. Never more than fits: when too many sources wait, all
// of the table is compared with the engine's instead. Pure.

import type { BanChange } from "../bans/change.ts";
import type { Origin } from "../bans/claim.ts";

export interface Ending {
  /** Milliseconds since boot: the own ban was taken back then. */
  readonly atMs: number;
  /** Everybody's bans that were made until then are lifted; undefined: only the own one ended. */
  readonly liftedMs: number | undefined;
  readonly keepUntilMs: number;
}

/** So long a gate may be away and still learns what was lifted. */
const keptMs = 7 * 86_400_000;
const endingsKept = 50_000;
const waitingLimit = 20_000;

/** Only what a gate found out or was told itself: what came from elsewhere has its own way to the others. */
export function isShared(origin: Origin): boolean {
  return !(origin.startsWith("gate:") || origin === "map" || origin === "foreign" || origin === "crowdsec");
}

export class OwnDoings {
  /** Called when something waits. */
  onChange: () => void = () => {};
  /** Too much waited: the table is to be compared with what the engine has. */
  isOverflown = false;
  /** Counts changes of the endings. */
  endingsVersion = 0;
  readonly #waiting = new Set<string>();
  /** Bans found in the kernel's map, where nothing says when they were made: any lift counts for more. */
  readonly #undated = new Set<string>();
  /** The oldest first. */
  readonly #endings = new Map<string, Ending>();

  get waiting(): number {
    return this.#waiting.size;
  }

  changed(change: BanChange): void {
    const source = change.ban.prefix.text;
    const { atMs } = change;
    if (change.kind === "lift" || change.kind === "end") this.#undated.delete(source);
    switch (change.kind) {
      case "ban":
        if (!isShared(change.claim.origin) || change.claim.isLocal === true) return;
        if (change.isAdopted) this.#undated.add(source);
        else this.#undated.delete(source);
        this.mark(source);
        return;
      case "release":
        if (isShared(change.by)) this.withdraw(source, atMs, change.ban.untilMs);
        return;
      case "lift":
        if (change.by === "operator") this.#end(source, atMs, atMs, lastEnd(change));
        else if (isShared(change.by) || change.by === "map") this.withdraw(source, atMs, lastEnd(change));
        return;
      case "end":
        if (typeof change.by === "object" && hasOwn(change)) this.withdraw(source, atMs, lastEnd(change));
        return;
      default:
        change satisfies never;
    }
  }

  /** The own ban is taken back; those of others go on. */
  withdraw(source: string, atMs: number, untilMs: number): void {
    this.#end(source, atMs, this.#endings.get(source)?.liftedMs, untilMs);
  }

  mark(source: string): void {
    if (this.#waiting.size >= waitingLimit) {
      this.isOverflown = true;
      return;
    }
    this.#waiting.add(source);
    this.onChange();
  }

  /** At most so many that wait; they are marked again where they could not be announced. */
  take(limit: number): string[] {
    const sources = [...this.#waiting.values().take(limit)];
    for (const source of sources) this.#waiting.delete(source);
    return sources;
  }

  ending(source: string): Ending | undefined {
    return this.#endings.get(source);
  }

  isUndated(source: string): boolean {
    return this.#undated.has(source);
  }

  endings(): MapIterator<[string, Ending]> {
    return this.#endings.entries();
  }

  /** As an earlier run saved it. */
  restore(source: string, ending: Ending): void {
    if (!this.#endings.has(source)) this.#endings.set(source, ending);
  }

  /** Endings that nobody needs any more. */
  forget(nowMs: number): void {
    for (const [source, { keepUntilMs }] of this.#endings) {
      if (keepUntilMs > nowMs) continue;
      this.#endings.delete(source);
      this.endingsVersion++;
    }
  }

  #end(source: string, atMs: number, liftedMs: number | undefined, untilMs: number): void {
    const keepUntilMs = Math.max(atMs + keptMs, untilMs);
    this.#endings.delete(source);
    this.#endings.set(source, { atMs, liftedMs, keepUntilMs });
    this.endingsVersion++;
    if (this.#endings.size > endingsKept) {
      const [oldest] = this.#endings.keys();
      if (oldest !== undefined) this.#endings.delete(oldest);
    }
    this.mark(source);
  }
}

function lastEnd({ ban }: BanChange): number {
  return Math.max(ban.untilMs, ...ban.others.map(({ untilMs }) => untilMs));
}

function hasOwn({ ban }: BanChange): boolean {
  return [ban, ...ban.others].some(({ origin }) => isShared(origin));
}
