// SPDX-License-Identifier: Apache-2.0
// The table of bans: which sources are out, until when, and why. Pure; the kernel's copy is kept in step by
// the enforcement. A ban is held in rows of numbers (table/) and read as a copy. No operation but `within`, `unmet` and
// `all` looks at more than a few rows.
import { type Prefix, type PrefixKey, parsePrefix, widened } from "../address.ts";
import { type Client, sourceBits } from "../client.ts";
import { type Ban, everywhere, type FencedBan, holdsAt, isAskedForByOperator } from "./claim.ts";
import { Arrivals } from "./table/arrivals.ts";
import { ClaimRows } from "./table/claim_rows.ts";
import { Endings } from "./table/endings.ts";
import type { Kind } from "./table/kinds.ts";
import { PrefixIndex } from "./table/prefix_index.ts";
import { none, offsetOf } from "./table/slab.ts";

/** Between two turns of who asks for what is within a prefix. */
const lookedAtAtOnce = 2000;
/** Small: the first ones of a gate that lifts nothing for days are run as cold code, ten times as slow as the last. */
const foundAtOnce = 50;

/**
 * Bans that stand in one map: when it is full, the soonest to end of its own makes room. Those that an operator asked
 * for are kept apart, since they make room for no others.
 */
interface Place {
  readonly map: string | undefined;
  readonly isAskedFor: boolean;
  readonly endings: Endings;
}

export class Bans {
  readonly capacity: number;
  readonly #ipv6Bits: number;
  readonly #rows = new ClaimRows();
  readonly #index = new PrefixIndex(this.#rows);
  readonly #arrivals = new Arrivals();
  /** By the number that a row has of its own. */
  readonly #places: Place[] = [];
  /** How many bans of each prefix length are not of single sources; empty nearly always. */
  readonly #ranges = new Map<number, number>();
  #size = 0;
  /** Of walks through a fence's entries: 0-255. */
  #round = 0;

  /**
   * @param capacity most bans held; the one that ends soonest makes room.
   * @param ipv6Bits the prefix length that an IPv6 source is banned by.
   */
  constructor(capacity: number, ipv6Bits: number) {
    this.capacity = capacity;
    this.#ipv6Bits = ipv6Bits;
  }

  get size(): number {
    return this.#size;
  }

  /** The ban that covers a client and is still running. @param gate one that holds there; undefined: anywhere. */
  find(client: Client, nowMs: number, gate?: string): Ban | undefined {
    return this.#read(this.#find(client, nowMs, gate));
  }

  /** Whether there is one, and where it stands: what is asked for each connection. */
  standingOf(client: Client, nowMs: number, gate?: string): { readonly map: string | undefined } | undefined {
    const row = this.#find(client, nowMs, gate);
    return row === none ? undefined : this.#placeOf(row);
  }

  /** What a single client is banned by: mostly an IPv4 address, an IPv6 network of the ban prefix. */
  isSource(prefix: Prefix): boolean {
    return prefix.bits === sourceBits(prefix, this.#ipv6Bits);
  }

  /** The ban of exactly this prefix, by its text. */
  byText(text: string): Ban | undefined {
    const prefix = parsePrefix(text);
    return prefix === undefined ? undefined : this.get(prefix);
  }

  /** The ban of exactly this prefix. */
  get(prefix: PrefixKey): Ban | undefined {
    return this.#read(this.#index.find(prefix));
  }

  /** When the claim on exactly this prefix ends that holds everywhere; undefined: there is none. */
  fencedUntilMs(prefix: PrefixKey): number | undefined {
    const row = this.#index.find(prefix);
    return row === none ? undefined : this.#endsInFences(row);
  }

  /** By what `tickets` gave; undefined when it has ended since. */
  byTicket(ticket: number): Ban | undefined {
    return this.#read(this.#arrivals.row(ticket));
  }

  /** The same of its prefix alone. */
  prefixOf(ticket: number): Prefix | undefined {
    const row = this.#arrivals.row(ticket);
    return row === none ? undefined : this.#rows.prefix(row);
  }

  /** Whether one of its claims is of such a kind: what a search through a million asks. */
  hasKind(ticket: number, nowMs: number, isWanted: (kind: Kind) => boolean): boolean {
    const row = this.#arrivals.row(ticket);
    return row !== none && this.#rows.hasKind(row, nowMs, isWanted);
  }

  /** When it ends, and why it was made; undefined when it has ended since. */
  headOf(ticket: number): { readonly untilMs: number; readonly reason: string } | undefined {
    const row = this.#arrivals.row(ticket);
    return row === none ? undefined : { untilMs: this.#rows.untilMs(row), reason: this.#rows.kind(row).reason };
  }

  /** The ban of a prefix or of the closest range around it, if it is running. */
  covering(prefix: Prefix, nowMs: number): Ban | undefined {
    const isRunning = (row: number) => row !== none && this.#rows.untilMs(row) > nowMs;
    const exact = this.#index.find(prefix);
    if (isRunning(exact)) return this.#read(exact);
    const lengths = [...this.#ranges.keys(), this.#ipv6Bits].filter((bits) => bits < prefix.bits).sort((a, b) => b - a);
    return this.#read(lengths.map((bits) => this.#around(prefix, bits)).find(isRunning) ?? none);
  }

  /** Adds or replaces. @returns the ban that had to make room in a full table. */
  add(ban: Ban): Ban | undefined {
    const earlier = this.#index.find(ban.prefix);
    if (earlier !== none) {
      this.#placeOf(earlier).endings.remove(earlier);
      this.#rows.replace(earlier, ban);
      this.#put(earlier, ban);
      return undefined;
    }
    const evicted = this.#size >= this.capacity ? this.#evict() : undefined;
    const row = this.#rows.add(ban);
    this.#index.add(row);
    const columns = this.#rows.columns(row);
    columns.ticket[offsetOf(row)] = this.#arrivals.add(row);
    columns.met[offsetOf(row)] = this.#round;
    this.#put(row, ban);
    this.#countRange(ban.prefix, 1);
    this.#size++;
    return evicted;
  }

  /** @returns the ban that was there. */
  remove(prefix: Prefix): Ban | undefined {
    return this.#remove(this.#index.find(prefix));
  }

  /** The same, for who has read it. */
  takeOut(prefix: Prefix): void {
    const row = this.#index.find(prefix);
    if (row !== none) this.#takeOut(row, prefix);
  }

  /** A ban that is in the table came to stand in another map. */
  stand(ban: Ban, map: string | undefined): void {
    ban.standsIn = map;
    const row = this.#index.find(ban.prefix);
    if (row === none || this.#placeOf(row).map === map) return;
    this.#placeOf(row).endings.remove(row);
    this.#put(row, ban);
  }

  /** How many bans stand in a map; undefined: in none. */
  standing(map: string | undefined): number {
    return this.#in(map).reduce((sum, { endings }) => sum + endings.size, 0);
  }

  /** Takes out bans that are over, at most `limit`. */
  due(nowMs: number, limit = Number.POSITIVE_INFINITY): Ban[] {
    const ended: Ban[] = [];
    for (const { endings } of this.#places) {
      for (let row = endings.first(); row !== none && ended.length < limit; row = endings.first()) {
        if (this.#rows.untilMs(row) > nowMs) break;
        ended.push(this.#remove(row) as Ban);
      }
    }
    return ended;
  }

  /** Which ban makes room when the table is full: the one that ends first; undefined when none ends. */
  soonest(): Ban | undefined {
    return this.#read(this.#soonest(this.#places));
  }

  /** The same of those that stand in a map. */
  soonestIn(map: string): Ban | undefined {
    return this.#read(this.#soonest(this.#in(map)));
  }

  /** What is banned inside a prefix, itself included: a slice between two turns of the caller. */
  within(prefix: Prefix): Generator<readonly Prefix[], void, void> {
    return this.#chosen(
      (row) => this.#rows.isWithin(row, prefix),
      (row) => this.#rows.prefix(row),
    );
  }

  /** A walk through all entries of a fence begins. */
  beginRound(): void {
    this.#round = (this.#round + 1) % 256;
  }

  /**
   * The walk has come to an entry of exactly this prefix.
   * @returns when the claim ends that holds everywhere; undefined: there is none.
   */
  meet(prefix: PrefixKey): number | undefined {
    const row = this.#index.find(prefix);
    if (row === none) return undefined;
    this.#rows.columns(row).met[offsetOf(row)] = this.#round;
    return this.#endsInFences(row);
  }

  /** Those of which the walk met no entry, but none that came since it began: a slice between two turns. */
  unmet(): Generator<readonly FencedBan[], void, void> {
    return this.#chosen(
      (row) => this.#rows.columns(row).met[offsetOf(row)] !== this.#round,
      (row) => this.#fenced(row),
    );
  }

  /** False when a ban of something inside of the prefix may be there, too. */
  isAlone(prefix: Prefix): boolean {
    if (!this.isSource(prefix)) return false;
    return this.#ranges.size === 0 || ![...this.#ranges.keys()].some((bits) => bits > prefix.bits);
  }

  /** In the order in which they came into the table; one that is prolonged keeps its place. Goes on over many turns. */
  all(): IteratorObject<Ban, undefined, unknown> {
    return this.#arrivals.all((row) => this.#rows.read(row, this.#placeOf(row).map));
  }

  /** The same, for who needs no more of them. */
  prefixes(): IteratorObject<Prefix, undefined, unknown> {
    return this.#arrivals.all((row) => this.#rows.prefix(row));
  }

  /** The same as numbers, for who comes back to them. */
  tickets(): IteratorObject<number, undefined, unknown> {
    return this.#arrivals.all((row) => this.#rows.columns(row).ticket[offsetOf(row)] ?? 0);
  }

  /** A loop over numbers, so that those that are not wanted leave nothing to the garbage collector. */
  *#chosen<T>(isWanted: (row: number) => boolean, read: (row: number) => T): Generator<readonly T[], void, void> {
    let found: T[] = [];
    let looked = 0;
    for (const page of this.#arrivals.pages()) {
      for (let at = 0; at < page.length; at++) {
        const row = page[at] ?? none;
        if (row !== none && isWanted(row)) found.push(read(row));
      }
      looked += page.length;
      if (looked < lookedAtAtOnce && found.length < foundAtOnce) continue;
      yield found;
      found = [];
      looked = 0;
    }
    yield found;
  }

  #find(client: Client, nowMs: number, gate: string | undefined): number {
    const holds = (row: number) => row !== none && this.#rows.untilMs(row) > nowMs && this.#holdsAt(row, gate, nowMs);
    const source = this.#index.find(client.source());
    if (holds(source)) return source;
    for (const bits of this.#ranges.keys()) {
      const range = this.#around(client.single(), bits);
      if (holds(range)) return range;
    }
    return none;
  }

  #holdsAt(row: number, gate: string | undefined, nowMs: number): boolean {
    if (gate === undefined || this.#rows.kind(row).isLocal !== true) return true;
    return holdsAt(this.#rows.read(row, undefined), gate, nowMs);
  }

  #around(prefix: Prefix, bits: number): number {
    const range = widened(prefix, bits);
    return range === undefined ? none : this.#index.find(range);
  }

  #fenced(row: number): FencedBan {
    return {
      prefix: this.#rows.prefix(row),
      standsIn: this.#placeOf(row).map,
      untilMs: this.#endsInFences(row),
    };
  }

  #endsInFences(row: number): number | undefined {
    const isLocal = this.#rows.kind(row).isLocal === true;
    return isLocal ? everywhere(this.#rows.read(row, undefined))?.untilMs : this.#rows.untilMs(row);
  }

  #read(row: number): Ban | undefined {
    return row === none ? undefined : this.#rows.read(row, this.#placeOf(row).map);
  }

  #remove(row: number): Ban | undefined {
    const ban = this.#read(row);
    if (ban !== undefined) this.#takeOut(row, ban.prefix);
    return ban;
  }

  #takeOut(row: number, prefix: Prefix): void {
    this.#placeOf(row).endings.remove(row);
    this.#arrivals.remove(this.#rows.columns(row).ticket[offsetOf(row)] ?? 0);
    this.#index.remove(row);
    this.#rows.release(row);
    this.#countRange(prefix, -1);
    this.#size--;
  }

  #evict(): Ban | undefined {
    const soonest = this.#soonest(this.#places);
    return this.#remove(soonest === none ? this.#arrivals.first() : soonest);
  }

  /** What an operator asked for comes last. */
  #soonest(places: readonly Place[]): number {
    const firsts = places
      .map((place) => ({ row: this.#firstOf(place), isAskedFor: place.isAskedFor }))
      .filter(({ row }) => row !== none);
    const byEnd = firsts.sort(
      (a, b) => Number(a.isAskedFor) - Number(b.isAskedFor) || this.#rows.untilMs(a.row) - this.#rows.untilMs(b.row),
    );
    return byEnd[0]?.row ?? none;
  }

  #in(map: string | undefined): readonly Place[] {
    return this.#places.filter((place) => place.map === map);
  }

  /** One that ends. */
  #firstOf({ endings }: Place): number {
    const first = endings.first();
    return first !== none && Number.isFinite(this.#rows.untilMs(first)) ? first : none;
  }

  #placeOf(row: number): Place {
    return this.#places[this.#rows.columns(row).place[offsetOf(row)] ?? 0] as Place;
  }

  #put(row: number, ban: Ban): void {
    const map = ban.standsIn;
    const isAskedFor = isAskedForByOperator(ban);
    let number = this.#places.findIndex((place) => place.map === map && place.isAskedFor === isAskedFor);
    if (number < 0) number = this.#places.push({ map, isAskedFor, endings: new Endings(this.#rows) }) - 1;
    this.#rows.columns(row).place[offsetOf(row)] = number;
    this.#placeOf(row).endings.add(row);
  }

  #countRange(prefix: Prefix, change: number): void {
    if (this.isSource(prefix)) return;
    const count = (this.#ranges.get(prefix.bits) ?? 0) + change;
    if (count > 0) this.#ranges.set(prefix.bits, count);
    else this.#ranges.delete(prefix.bits);
  }
}
