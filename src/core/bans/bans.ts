// SPDX-License-Identifier: Apache-2.0
// The time-out table: which sources are out, until when, and why. Pure; the kernel's copy is kept in
// step by the gate. Every operation is O(1); ended bans are found without scanning.
import { contains, isIpv4, type Prefix, widened } from "../address.ts";
import type { Client } from "../client.ts";
import { type Ban, holdsAt } from "./claim.ts";
import { Expiry } from "./expiry.ts";

/** The bans that stand in one map. */
interface Standing {
  readonly expiry: Expiry<Ban>;
  count: number;
}

export class Bans {
  readonly capacity: number;
  readonly #byText = new Map<string, Ban>();
  /** By the map that the bans stand in: when one is full, the soonest to end of its own makes room. */
  readonly #standing = new Map<string | undefined, Standing>();
  readonly #ipv6Bits: number;
  /** How many bans of each prefix length are not of single sources; empty nearly always. */
  readonly #ranges = new Map<number, number>();

  /**
   * @param capacity most bans held; the one that ends soonest makes room.
   * @param ipv6Bits the prefix length that an IPv6 source is banned by.
   */
  constructor(capacity: number, ipv6Bits: number) {
    this.capacity = capacity;
    this.#ipv6Bits = ipv6Bits;
  }

  get size(): number {
    return this.#byText.size;
  }

  /** The ban that covers a client and is still running. @param gate one that holds there; undefined: anywhere. */
  find(client: Client, nowMs: number, gate?: string): Ban | undefined {
    const holds = (ban: Ban) => ban.untilMs > nowMs && (gate === undefined || holdsAt(ban, gate, nowMs));
    const exact = this.#byText.get(client.sourceText);
    if (exact !== undefined && holds(exact)) return exact;
    for (const bits of this.#ranges.keys()) {
      const range = this.#around(client.single(), bits);
      if (range !== undefined && holds(range)) return range;
    }
    return undefined;
  }

  /** What a single client is banned by: an IPv4 address, an IPv6 network of the ban prefix. */
  isSource(prefix: Prefix): boolean {
    return prefix.bits === (isIpv4(prefix) ? 128 : this.#ipv6Bits);
  }

  /** The ban of exactly this prefix, by its canonical text. */
  byText(text: string): Ban | undefined {
    return this.#byText.get(text);
  }

  /** The ban of exactly this prefix. */
  get(prefix: Prefix): Ban | undefined {
    return this.#byText.get(prefix.text);
  }

  /** The ban of a prefix or of the closest range around it, if it is running. */
  covering(prefix: Prefix, nowMs: number): Ban | undefined {
    const exact = this.get(prefix);
    if (exact !== undefined && exact.untilMs > nowMs) return exact;
    const lengths = [...this.#ranges.keys(), this.#ipv6Bits].filter((bits) => bits < prefix.bits).sort((a, b) => b - a);
    for (const bits of lengths) {
      const range = this.#around(prefix, bits);
      if (range !== undefined && range.untilMs > nowMs) return range;
    }
    return undefined;
  }

  /** Adds or replaces. @returns the ban that had to make room in a full table. */
  add(ban: Ban): Ban | undefined {
    const { prefix } = ban;
    const earlier = this.#byText.get(prefix.text);
    if (earlier !== undefined) this.#strike(earlier);
    else this.#countRange(prefix, 1);
    const evicted = earlier === undefined && this.size >= this.capacity ? this.#evict() : undefined;
    this.#byText.set(prefix.text, ban);
    this.#enlist(ban);
    return evicted;
  }

  /** @returns the ban that was there. */
  remove(prefix: Prefix): Ban | undefined {
    const ban = this.#byText.get(prefix.text);
    if (ban === undefined) return undefined;
    this.#byText.delete(prefix.text);
    this.#strike(ban);
    this.#countRange(prefix, -1);
    return ban;
  }

  /** A ban that is in the table came to stand in another map. */
  stand(ban: Ban, map: string | undefined): void {
    if (ban.standsIn === map) return;
    this.#strike(ban);
    ban.standsIn = map;
    this.#enlist(ban);
  }

  /** How many bans stand in a map; undefined: in none. */
  standing(map: string | undefined): number {
    return this.#standing.get(map)?.count ?? 0;
  }

  /** Takes out bans that are over, at most `limit`. */
  due(nowMs: number, limit = Number.POSITIVE_INFINITY): Ban[] {
    const ended: Ban[] = [];
    for (const { expiry } of this.#standing.values()) ended.push(...expiry.due(nowMs, limit - ended.length));
    for (const { prefix } of ended) this.remove(prefix);
    return ended;
  }

  /** The ban that ends first, of all. */
  soonest(): Ban | undefined {
    let first: Ban | undefined;
    for (const { expiry } of this.#standing.values()) {
      const ban = expiry.soonest();
      if (ban !== undefined && (first === undefined || ban.untilMs < first.untilMs)) first = ban;
    }
    return first;
  }

  /** The ban that ends first of those that stand in a map: who makes room when it is full. */
  soonestIn(map: string): Ban | undefined {
    return this.#standing.get(map)?.expiry.soonest();
  }

  /** Every ban inside a prefix, itself included. */
  *within(prefix: Prefix): Generator<Ban> {
    for (const ban of this.#byText.values()) if (contains(prefix, ban.prefix)) yield ban;
  }

  /** Takes out every ban inside a prefix, itself included; a source mostly has nothing else inside. */
  removeWithin(prefix: Prefix): readonly Ban[] {
    if (this.isSource(prefix) && !this.#hasRangesWithin(prefix.bits)) {
      const ban = this.remove(prefix);
      return ban === undefined ? [] : [ban];
    }
    const found = [...this.within(prefix)];
    for (const ban of found) this.remove(ban.prefix);
    return found;
  }

  /** In the order in which they came into the table; one that is prolonged keeps its place. */
  all(): MapIterator<Ban> {
    return this.#byText.values();
  }

  #hasRangesWithin(bits: number): boolean {
    for (const rangeBits of this.#ranges.keys()) if (rangeBits > bits) return true;
    return false;
  }

  #around(prefix: Prefix, bits: number): Ban | undefined {
    const range = widened(prefix, bits);
    return range === undefined ? undefined : this.#byText.get(range.text);
  }

  #evict(): Ban | undefined {
    const victim = this.soonest() ?? this.#byText.values().next().value;
    return victim === undefined ? undefined : this.remove(victim.prefix);
  }

  #enlist(ban: Ban): void {
    let standing = this.#standing.get(ban.standsIn);
    if (standing === undefined) {
      standing = { expiry: new Expiry(), count: 0 };
      this.#standing.set(ban.standsIn, standing);
    }
    standing.expiry.add(ban, ban.untilMs);
    standing.count++;
  }

  #strike(ban: Ban): void {
    const standing = this.#standing.get(ban.standsIn);
    if (standing === undefined) return;
    standing.expiry.remove(ban, ban.untilMs);
    standing.count--;
  }

  #countRange(prefix: Prefix, change: number): void {
    if (this.isSource(prefix)) return;
    const count = (this.#ranges.get(prefix.bits) ?? 0) + change;
    if (count > 0) this.#ranges.set(prefix.bits, count);
    else this.#ranges.delete(prefix.bits);
  }
}
