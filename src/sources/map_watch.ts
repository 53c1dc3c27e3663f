// SPDX-License-Identifier: Apache-2.0
// Other tools as a source of bans: what they write into the fence's map becomes a claim, what they take out
// of it is lifted. Entries from before the start are taken up the same way.
import { setImmediate } from "node:timers/promises";
import { type Prefix, type PrefixKey, prefixOf } from "../core/address.ts";
import type { FencedBan } from "../core/bans/claim.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { EntryTest, Fence, FenceRecord } from "../core/bans/fence.ts";
import { Talkers } from "../core/bans/talkers.ts";
import type { Work } from "../core/work.ts";
import type { Log } from "../log.ts";
import { SparedEntries } from "./spared_entries.ts";
import { inTurns } from "./turns.ts";

/** What a step takes of each half second, sockets having their turns in between, which do not count: 2 % of a CPU. */
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
  #check: Generator<readonly FencedBan[], void, void> | undefined;
  #isPaused = false;
  readonly #spared: SparedEntries;

  constructor(fence: Fence, enforcement: Enforcement, { log, nowMs, settle }: MapWatchParts) {
    this.#fence = fence;
    this.#enforcement = enforcement;
    this.#spared = new SparedEntries(log, enforcement.hasFence);
    this.#nowMs = nowMs;
    this.#settle = settle;
  }

  /** At start: everything, a slice at a time. @returns how many bans were taken up. */
  async adoptAll(): Promise<number> {
    let adopted = 0;
    for (const slice of this.#fence.records(this.#isOfInterest)) {
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

  /** Goes on where it stopped the last time, through the map and then the table; once round at most. */
  async step(): Promise<void> {
    await inTurns(this.#goOn());
  }

  *#goOn(): Work<void> {
    let isOver = false;
    for (let leftMs = stepMs; !isOver && !this.#isPaused && leftMs > 0; ) {
      const sinceMs = performance.now();
      isOver = this.#check === undefined ? this.#takeUp() : this.#letGo(this.#check);
      leftMs -= performance.now() - sinceMs;
      yield;
    }
  }

  /** @returns false: at the end of the map follows what was not in it. */
  #takeUp(): boolean {
    if (this.#walk === undefined) {
      this.#enforcement.bans.beginRound();
      this.#walk = this.#fence.records(this.#isOfInterest);
      this.talkers.begin();
      this.#spared.begin();
    }
    const slice = this.#walk.next();
    if (slice.done === true) {
      this.#walk = undefined;
      this.talkers.roundOver();
      this.#spared.roundOver();
      this.#check = this.#enforcement.bans.unmet();
    } else {
      this.talkers.see(slice.value);
      this.#adopt(slice.value);
    }
    return false;
  }

  /** Of what was not in the map is looked whether it came there meanwhile. @returns true at the end of the table. */
  #letGo(check: Iterator<readonly FencedBan[]>): boolean {
    const slice = check.next();
    if (slice.done === true) {
      this.#check = undefined;
      return true;
    }
    const gone: Prefix[] = [];
    for (const ban of slice.value) {
      if (!this.#enforcement.vanished(ban, this.#nowMs())) continue;
      if (this.#fence.status().evicts) this.#enforcement.renew(ban.prefix, this.#nowMs());
      else gone.push(ban.prefix);
    }
    this.#enforcement.letGo(gone, this.#nowMs());
    return false;
  }

  /** Nearly all entries are known, and drop nothing. */
  readonly #isOfInterest: EntryTest = (key, expiresMs, packets) =>
    packets > this.talkers.least || this.#isNews(key, expiresMs);

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
    const fresh = slice.filter(({ prefix, expiresMs }) => this.#isNews(prefix, expiresMs));
    if (fresh.length === 0 || !this.#settle()) return [];
    return fresh.filter(({ prefix, expiresMs }) => this.#isNews(prefix, expiresMs));
  }

  /** True for what the table does not have like this. */
  #isNews(key: PrefixKey, expiresMs: number): boolean {
    const untilMs = this.#enforcement.bans.meet(key);
    // Both may be without an end.
    if (untilMs !== undefined && (untilMs === expiresMs || Math.abs(untilMs - expiresMs) < sameEndMs)) return false;
    if (expiresMs <= this.#nowMs()) return false;
    const prefix = prefixOf(key);
    return this.#enforcement.foldOf(prefix)?.text !== prefix.text;
  }
}
