// SPDX-License-Identifier: Apache-2.0
// The bans that the table is to hold, which of them have to be written yet, and what the kernel counted of each.
// What is here is right: the kernel's elements are made to agree with it. Times are in milliseconds since boot.
import type { Prefix } from "../../core/address.ts";
import type { FenceEntry, FenceRecord } from "../../core/bans/fence.ts";
import type { ListedElement } from "./listing.ts";
import { type ElementChanges, prefixIn, readComment, setOf } from "./ruleset.ts";

/** An end that is read back: whole seconds, rounded up when written and down when read. */
const sameEndMs = 3000;
/** What is about to end may be gone already. */
const endingMs = 2000;

interface Held extends FenceEntry {
  /** The kernel may have an element of it. */
  mayStand: boolean;
  /** When it was last written. */
  writtenMs: number;
  /** When it was asked for, until it is written. */
  askedMs: number | undefined;
  packets: number;
  bytes: number;
  /** What the element's counter said last: it begins anew with each element. */
  read: { readonly packets: number; readonly bytes: number };
  lastSeenMs: number | undefined;
  /** The listing that last had it. */
  listing: number;
}

export interface Batch {
  readonly changes: ElementChanges;
  readonly prefixes: ReadonlyMap<string, Prefix>;
}

/** How a listing differs from what is held; all of it is to be written again. */
export interface Differences {
  readonly missing: number;
  readonly altered: number;
  readonly strange: number;
}

const notRead = { packets: 0, bytes: 0 };

export class Entries {
  readonly #held = new Map<string, Held>();
  readonly #bySet = new Map<string, number>();
  #unwritten = new Map<string, Prefix>();
  #inFlight: ReadonlyMap<string, Prefix> = new Map();
  /** Taken out since the listing that is being read began. */
  readonly #dropped = new Set<string>();
  #listing = 0;
  #listingMs = 0;
  #missing = 0;
  #altered = 0;
  #strange = 0;

  get size(): number {
    return this.#held.size;
  }

  /** The sets that are needed. */
  get sets(): readonly string[] {
    return [...this.#bySet.keys()];
  }

  get isWritten(): boolean {
    return this.#unwritten.size === 0;
  }

  countIn(set: string): number {
    return this.#bySet.get(set) ?? 0;
  }

  has({ text }: Prefix): boolean {
    return this.#held.has(text);
  }

  put(entry: FenceEntry, askedMs: number | undefined): void {
    const { text } = entry.prefix;
    const before = this.#held.get(text);
    if (before?.expiresMs === entry.expiresMs && before.mayStand) return;
    if (before === undefined) this.#count(entry.prefix, 1);
    const { packets = 0, bytes = 0, read = notRead, lastSeenMs, listing = 0, writtenMs = 0 } = before ?? {};
    const mayStand = before?.mayStand === true || this.#isUnsettled(text);
    this.#held.set(text, { ...entry, mayStand, writtenMs, askedMs, packets, bytes, read, lastSeenMs, listing });
    this.#unwritten.set(text, entry.prefix);
  }

  /** @returns false when it was not there. */
  drop(prefix: Prefix): boolean {
    const { text } = prefix;
    if (!this.#held.delete(text)) return false;
    this.#count(prefix, -1);
    this.#dropped.add(text);
    this.#unwritten.set(text, prefix);
    return true;
  }

  record({ text }: Prefix): FenceRecord | undefined {
    const held = this.#held.get(text);
    return held && recordOf(held);
  }

  *records(sliceSize: number): Generator<readonly FenceRecord[], void, void> {
    for (let all = this.#held.values(), slice = [...all.take(sliceSize)]; slice.length > 0; ) {
      yield slice.map(recordOf);
      slice = [...all.take(sliceSize)];
    }
  }

  /** From an element that was there before this process. @returns false when it is none of ours. */
  adopt({ set, value, expiresSeconds, comment, packets, bytes }: ListedElement, nowMs: number): boolean {
    const prefix = prefixIn(set, value);
    if (prefix === undefined || this.has(prefix)) return false;
    const expiresMs = expiresSeconds === undefined ? Number.POSITIVE_INFINITY : nowMs + expiresSeconds * 1000;
    const read = { packets, bytes };
    this.#count(prefix, 1);
    this.#held.set(prefix.text, {
      ...{ prefix, expiresMs, ...readComment(comment), mayStand: true, writtenMs: nowMs, askedMs: undefined },
      ...{ packets, bytes, read, lastSeenMs: undefined, listing: 0 },
    });
    return true;
  }

  /** What is to be written next. It is under way until `settled` or `failed`. */
  next(limit: number, nowMs: number): Batch {
    const prefixes = new Map(this.#unwritten.entries().take(limit));
    for (const text of prefixes.keys()) this.#unwritten.delete(text);
    this.#inFlight = prefixes;
    const [added, replaced, removed]: [FenceEntry[], FenceEntry[], Prefix[]] = [[], [], []];
    for (const [text, prefix] of prefixes) {
      const held = this.#held.get(text);
      if (held === undefined || held.expiresMs <= nowMs) removed.push(prefix);
      else (held.mayStand ? replaced : added).push(held);
      if (held !== undefined) held.mayStand = true;
    }
    return { changes: { added, replaced, removed }, prefixes };
  }

  /** @returns how long those took that were asked for one by one, in milliseconds. */
  settled({ changes }: Batch, nowMs: number): readonly number[] {
    this.#inFlight = new Map();
    const took: number[] = [];
    for (const { prefix } of [...changes.added, ...changes.replaced]) {
      const held = this.#held.get(prefix.text);
      // What was asked for meanwhile is written next.
      if (held === undefined || this.#unwritten.has(prefix.text)) continue;
      held.writtenMs = nowMs;
      held.read = notRead;
      if (held.askedMs !== undefined) took.push(nowMs - held.askedMs);
      held.askedMs = undefined;
    }
    return took;
  }

  failed({ prefixes }: Batch): void {
    this.#inFlight = new Map();
    this.#unwritten = new Map([...prefixes, ...this.#unwritten]);
  }

  /**
   * All of it has to be written.
   * @param isGone whether a set is empty for certain; otherwise its elements are replaced.
   */
  rewrite(isGone: (set: string) => boolean): void {
    for (const held of this.#held.values()) if (isGone(setOf(held.prefix))) held.mayStand = false;
    this.#unwritten = new Map([
      ...this.#unwritten,
      ...this.#held.values().map(({ prefix }) => [prefix.text, prefix] as const),
    ]);
  }

  beginListing(nowMs: number): void {
    this.#listing++;
    this.#listingMs = nowMs;
    this.#dropped.clear();
    this.#missing = 0;
    this.#altered = 0;
    this.#strange = 0;
  }

  /** An element as the kernel has it. */
  listed(element: ListedElement, nowMs: number): void {
    const prefix = prefixIn(element.set, element.value);
    if (prefix === undefined || this.#isUnsettled(prefix.text)) return;
    const held = this.#held.get(prefix.text);
    if (held === undefined) {
      if (this.#dropped.has(prefix.text)) return;
      this.#strange++;
      this.#unwritten.set(prefix.text, prefix);
      return;
    }
    held.listing = this.#listing;
    this.#countDrops(held, element, nowMs);
    if (held.writtenMs >= this.#listingMs || this.#agree(held, element, nowMs)) return;
    this.#altered++;
    this.#unwritten.set(prefix.text, prefix);
  }

  /** The listing is over. */
  endListing(nowMs: number): Differences {
    for (const held of this.#held.values()) {
      const isExpected = held.writtenMs < this.#listingMs && held.expiresMs > nowMs + endingMs;
      if (held.listing === this.#listing || !isExpected || this.#isUnsettled(held.prefix.text)) continue;
      this.#missing++;
      this.#unwritten.set(held.prefix.text, held.prefix);
    }
    return { missing: this.#missing, altered: this.#altered, strange: this.#strange };
  }

  #agree(held: Held, { expiresSeconds }: ListedElement, nowMs: number): boolean {
    if (expiresSeconds === undefined) return held.expiresMs === Number.POSITIVE_INFINITY;
    const tolerance = sameEndMs + (nowMs - this.#listingMs);
    return Math.abs(held.expiresMs - nowMs - expiresSeconds * 1000) <= tolerance;
  }

  #countDrops(held: Held, { packets, bytes }: ListedElement, nowMs: number): void {
    const before = packets < held.read.packets ? notRead : held.read;
    if (packets > before.packets) held.lastSeenMs = nowMs;
    held.packets += packets - before.packets;
    held.bytes += bytes - before.bytes;
    held.read = { packets, bytes };
  }

  #isUnsettled(text: string): boolean {
    return this.#unwritten.has(text) || this.#inFlight.has(text);
  }

  #count(prefix: Prefix, by: number): void {
    const set = setOf(prefix);
    this.#bySet.set(set, this.countIn(set) + by);
  }
}

function recordOf({ prefix, expiresMs, reason, origin, packets, bytes, lastSeenMs }: Held): FenceRecord {
  return { prefix, expiresMs, reason, origin, packets, bytes, lastSeenMs };
}
