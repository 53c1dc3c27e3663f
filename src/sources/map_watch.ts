// SPDX-License-Identifier: Apache-2.0
// Other tools as a source of bans: what they write into the fence's map becomes a claim, what they take out
// of it is lifted. Entries from before the start are taken up the same way.
import { setImmediate } from "node:timers/promises";
import type { Prefix } from "../core/address.ts";
import type { FencedBan } from "../core/bans/claim.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { Fence, FenceRecord } from "../core/bans/fence.ts";
import { Talkers } from "../core/bans/talkers.ts";
import type { Log } from "../log.ts";
import { SparedEntries } from "./spared_entries.ts";

/** A look-up is a system call of half a microsecond. */
const checkedAtOnce = 500;
/** A step goes on for so long, sockets having their turn in between: 20,000 entries a second, 2 % of a CPU. */
const stepMs = 10;
/** The kernel's clock and ours agree to 10 ms; the documented map holds whole seconds. */
const sameEndMs = 1000;

export interface MapWatchParts {
  readonly log: Log;
  readonly nowMs: () => number;
  /**
   * Brings what the kernel's judge decided to the table: with evidence, which its entry in the map has not.
   * @returns false when there is more of it.
   */
  settle(): boolean;
}

export class MapWatch {
  /** Whom the fence drops most of, as the walk through its map finds them. */
  readonly talkers = new Talkers();
  readonly #fence: Fence;
  readonly #enforcement: Enforcement;
  readonly #nowMs: () => number;
  readonly #settle: () => boolean;
  #walk: Generator<readonly FenceRecord[], void, void> | undefined;
  #check: Iterator<FencedBan> | undefined;
  /** Bans from before this ticket were there when the walk began; so many of them it has found. */
  #ticket = 0;
  #found = 0;
  #isPaused = false;
  readonly #spared: SparedEntries;

  constructor(fence: Fence, enforcement: Enforcement, { log, nowMs, settle }: MapWatchParts) {
    this.#fence = fence;
    this.#enforcement = enforcement;
    this.#spared = new SparedEntries(log);
    this.#nowMs = nowMs;
    this.#settle = settle;
  }

  /** At start: everything, a slice at a time. @returns how many bans were taken up. */
  async adoptAll(): Promise<number> {
    let adopted = 0;
    for (const slice of this.#fence.records()) {
      adopted += this.#adopt(slice);
      await setImmediate();
    }
    return adopted;
  }

  /** Looks at nothing until `resume`. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#walk = undefined;
    this.#check = undefined;
  }

  /**
   * Goes on where it stopped the last time; once round at most. The table is gone through only where it has more than
   * was found in the map.
   */
  async step(): Promise<void> {
    const endMs = performance.now() + stepMs;
    let isOver = false;
    while (!this.#isPaused && !isOver) {
      if (this.#check !== undefined) isOver = this.#letGo();
      else if (this.#takeUp()) {
        isOver = this.#found === this.#enforcement.entriesBefore(this.#ticket);
        if (!isOver) this.#check = this.#enforcement.bans.fenced();
      }
      if (performance.now() >= endMs) return;
      if (!isOver) await setImmediate();
    }
  }

  /** @returns true at the end of the map. */
  #takeUp(): boolean {
    if (this.#walk === undefined) {
      this.#walk = this.#fence.records();
      this.#ticket = this.#enforcement.bans.nextTicket;
      this.#found = 0;
      this.talkers.begin();
      this.#spared.begin();
    }
    const slice = this.#walk.next();
    if (slice.done === true) {
      this.#walk = undefined;
      this.talkers.roundOver();
      this.#spared.roundOver();
      return true;
    }
    this.talkers.see(slice.value);
    this.#adopt(slice.value);
    for (const { prefix } of slice.value) if (this.#enforcement.hasEntryBefore(this.#ticket, prefix)) this.#found++;
    return false;
  }

  /** @returns true at the end of the table. */
  #letGo(): boolean {
    const gone: Prefix[] = [];
    let isOver = false;
    for (let count = 0; count < checkedAtOnce && !isOver; count++) {
      const { done = true, value: ban } = this.#check?.next() ?? {};
      isOver = done;
      if (ban === undefined || !this.#enforcement.vanished(ban, this.#nowMs())) continue;
      if (this.#fence.status().evicts) this.#enforcement.renew(ban.prefix, this.#nowMs());
      else gone.push(ban.prefix);
    }
    if (isOver) this.#check = undefined;
    this.#enforcement.letGo(gone, this.#nowMs());
    return isOver;
  }

  /** @returns how many bans it changed. */
  #adopt(slice: readonly FenceRecord[]): number {
    const fresh = this.#news(slice);
    if (fresh.length === 0) return 0;
    const results = this.#enforcement.adopt(fresh, this.#nowMs());
    for (const [index, result] of results.entries()) {
      const record = fresh[index];
      if (result.kind !== "spared" || record === undefined || record.origin === "foreign") continue;
      this.#spared.see(record.prefix.text, result.conflict);
    }
    return results.filter((result) => result.kind === "banned" && result.isChanged).length;
  }

  /** The kernel's judge writes the map first, and tells then: what waits to be heard of is not news. */
  #news(slice: readonly FenceRecord[]): readonly FenceRecord[] {
    const fresh = slice.filter((record) => this.#isNews(record));
    if (fresh.length === 0 || !this.#settle()) return [];
    return fresh.filter((record) => this.#isNews(record));
  }

  /** True for what the table does not have like this. */
  #isNews({ prefix, expiresMs }: FenceRecord): boolean {
    const fold = this.#enforcement.foldOf(prefix);
    if ((fold !== undefined && fold.text === prefix.text) || expiresMs <= this.#nowMs()) return false;
    const untilMs = this.#enforcement.bans.fencedUntilMs(prefix);
    // Both may be without an end.
    return untilMs === undefined || !(untilMs === expiresMs || Math.abs(untilMs - expiresMs) < sameEndMs);
  }
}
