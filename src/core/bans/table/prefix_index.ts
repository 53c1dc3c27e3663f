// SPDX-License-Identifier: Apache-2.0
// Finds the row of a prefix: extendible hashing (Fagin and others, "Extendible Hashing", 1979). A bucket that is full
// is split, so that nothing is ever filled anew as a whole. In a bucket rows stand at the first free slot from their
// own on, each with some bits of its hash: who asks for one of a million waits for memory twice, for the slot and for
// the row, and once where there is none. The hash is simple tabulation with random tables (Patrascu and Thorup, "The
// Power of Simple Tabulation Hashing", 2012): nobody can choose addresses that meet in it.
import type { PrefixKey } from "../../address.ts";
import type { ClaimRows } from "./claim_rows.ts";
import { none, offsetOf } from "./slab.ts";

/** Split in a tenth of a millisecond. */
const slotsInBucket = 1024;
/** With more of them in use an empty slot, where a search ends, is too far. */
const mostUsed = (7 / 8) * slotsInBucket;
/** Two buckets with fewer rows together become one: less than either has after a split. */
const fewTogether = (3 / 8) * slotsInBucket;

/** Of a slot, in the lower bits: 67 million rows, four for each of the most bans that there can be. */
const rowBits = 26;
const rowMask = 2 ** rowBits - 1;
/** In place of a row. A search goes on behind one that has gone. */
const empty = 0xffff_ffff;
const gone = 0xffff_fffe;

class Bucket {
  /** How many of a hash's first bits its rows have in common. */
  readonly depth: number;
  readonly slots = new Uint32Array(slotsInBucket).fill(empty);
  rows = 0;
  /** With those that have gone. */
  used = 0;

  constructor(depth: number) {
    this.depth = depth;
  }

  /** @param row one that is not here. */
  put(hash: number, row: number): void {
    let at = homeOf(hash);
    while ((this.slots[at] ?? 0) < gone) at = after(at);
    if (this.slots[at] === empty) this.used++;
    this.slots[at] = (tagOf(hash) | row) >>> 0;
    this.rows++;
  }

  /** @param row one that is here. */
  take(hash: number, row: number): void {
    const wanted = (tagOf(hash) | row) >>> 0;
    let at = homeOf(hash);
    while (this.slots[at] !== wanted) at = after(at);
    this.rows--;
    this.slots[at] = gone;
    // Nothing is searched for behind an empty slot: those before it are free for good.
    if (this.slots[after(at)] !== empty) return;
    for (; this.slots[at] === gone; at = before(at)) {
      this.slots[at] = empty;
      this.used--;
    }
  }
}

export class PrefixIndex {
  readonly #rows: ClaimRows;
  /** For each byte of an address 256 random numbers, and for the lengths. */
  readonly #random = crypto.getRandomValues(new Uint32Array(17 * 256));
  /** By the first bits of a hash; several for a bucket of a lesser depth. */
  #buckets = [new Bucket(0)];
  /** How many bits those are: more only ever, of eight bytes for some hundred rows. */
  #depth = 0;
  /** What all IPv4 addresses have in common: ::ffff:0:0/96. */
  readonly #ipv4: number;

  constructor(rows: ClaimRows) {
    this.#rows = rows;
    this.#ipv4 = this.#hashWords([0, 0, 0xffff], 0, 0, 3);
  }

  /** @returns the row; `none` when there is none. */
  find(key: PrefixKey): number {
    const hash = this.#hash(key.words, 0, key.bits);
    const { slots } = this.#bucketOf(hash);
    const tag = tagOf(hash);
    for (let at = homeOf(hash); ; at = after(at)) {
      const slot = slots[at] ?? empty;
      if (slot === empty) return none;
      if ((slot ^ tag) >>> rowBits !== 0 || slot === gone) continue;
      if (this.#rows.is(slot & rowMask, key)) return slot & rowMask;
    }
  }

  /** @param row one whose prefix is not here yet. */
  add(row: number): void {
    const columns = this.#rows.columns(row);
    const at = offsetOf(row);
    const hash = this.#hash(columns.words, 4 * at, columns.bits[at] ?? 0);
    columns.hash[at] = hash;
    let bucket = this.#bucketOf(hash);
    for (; bucket.used >= mostUsed; bucket = this.#bucketOf(hash)) this.#makeRoom(bucket, hash);
    bucket.put(hash, row);
  }

  /** @param row one that is here. */
  remove(row: number): void {
    const hash = this.#hashOf(row);
    const bucket = this.#bucketOf(hash);
    bucket.take(hash, row);
    const other = bucket.depth === 0 ? bucket : this.#bucketOf(hash ^ (1 << (32 - bucket.depth)));
    if (other.depth !== bucket.depth || other === bucket || bucket.rows + other.rows >= fewTogether) return;
    this.#replace(hash, new Bucket(bucket.depth - 1), [bucket, other]);
  }

  #bucketOf(hash: number): Bucket {
    return this.#buckets[head(hash, this.#depth)] as Bucket;
  }

  /** By two in its place; by a new one, where half of what is used has gone. */
  #makeRoom(bucket: Bucket, hash: number): void {
    const { depth } = bucket;
    if (bucket.rows < mostUsed / 2) {
      this.#replace(hash, new Bucket(depth), [bucket]);
      return;
    }
    if (depth === this.#depth) {
      this.#buckets = this.#buckets.flatMap((one) => [one, one]);
      this.#depth++;
    }
    const bit = 1 << (31 - depth);
    this.#enter(hash & ~bit, new Bucket(depth + 1));
    this.#enter(hash | bit, new Bucket(depth + 1));
    this.#move([bucket]);
  }

  #replace(hash: number, bucket: Bucket, from: readonly Bucket[]): void {
    this.#enter(hash, bucket);
    this.#move(from);
  }

  /** For all hashes that begin like this one. */
  #enter(hash: number, bucket: Bucket): void {
    const places = 2 ** (this.#depth - bucket.depth);
    const first = head(hash, bucket.depth) * places;
    this.#buckets.fill(bucket, first, first + places);
  }

  #move(from: readonly Bucket[]): void {
    for (const { slots } of from) {
      // Not by an iterator, which takes twice as long.
      for (let at = 0; at < slotsInBucket; at++) {
        const slot = slots[at] ?? empty;
        if (slot >= gone) continue;
        const hash = this.#hashOf(slot & rowMask);
        this.#bucketOf(hash).put(hash, slot & rowMask);
      }
    }
  }

  #hashOf(row: number): number {
    return this.#rows.columns(row).hash[offsetOf(row)] ?? 0;
  }

  /** @param from where the four words begin. */
  #hash(words: ArrayLike<number>, from: number, bits: number): number {
    const isIpv4 = words[from] === 0 && words[from + 1] === 0 && words[from + 2] === 0xffff;
    const rest = isIpv4 ? this.#hashWords(words, from, 3, 4) ^ this.#ipv4 : this.#hashWords(words, from, 0, 4);
    return (rest ^ (this.#random[16 * 256 + bits] ?? 0)) >>> 0;
  }

  /** @param first the first of the four words that counts, @param end behind the last. */
  #hashWords(words: ArrayLike<number>, from: number, first: number, end: number): number {
    const random = this.#random;
    let hash = 0;
    for (let index = first; index < end; index++) {
      const word = words[from + index] ?? 0;
      const at = index * 4 * 256;
      hash ^= (random[at + (word >>> 24)] ?? 0) ^ (random[at + 256 + ((word >>> 16) & 255)] ?? 0);
      hash ^= (random[at + 512 + ((word >>> 8) & 255)] ?? 0) ^ (random[at + 768 + (word & 255)] ?? 0);
    }
    return hash;
  }
}

/** The first bits of a hash: a shift by 32 would be none. */
function head(hash: number, bits: number): number {
  return bits === 0 ? 0 : hash >>> (32 - bits);
}

function homeOf(hash: number): number {
  return hash & (slotsInBucket - 1);
}

function after(at: number): number {
  return (at + 1) & (slotsInBucket - 1);
}

function before(at: number): number {
  return (at - 1) & (slotsInBucket - 1);
}

/** Bits of a hash that say neither its bucket nor its slot, above those of a row. */
function tagOf(hash: number): number {
  return (hash << 16) & ~rowMask;
}
