// SPDX-License-Identifier: Apache-2.0
// Finds the row of a prefix: linear hashing (Litwin, "Linear Hashing", 1980), where each ban that comes splits one
// bucket at most, so that nothing is ever filled anew as a whole. The rows of a bucket are linked to each other. The
// hash is simple tabulation with random tables (Patrascu and Thorup, "The Power of Simple Tabulation Hashing", 2012):
// nobody can choose addresses that meet in it.
import type { PrefixKey } from "../../address.ts";
import type { ClaimRows } from "./claim_rows.ts";
import { none, offsetOf, rowsInChunk } from "./slab.ts";

export class PrefixIndex {
  readonly #rows: ClaimRows;
  /** For each byte of an address 256 random numbers, and for the lengths. */
  readonly #random = crypto.getRandomValues(new Uint32Array(17 * 256));
  /** The first row of each bucket, in chunks: an object for each bucket would tear holes into the heap. */
  readonly #heads: Uint32Array[] = [];
  #buckets = 0;
  /** Of the bits of a hash that all buckets are told apart by; those that were split, by one more. */
  #mask = 0;
  #size = 0;
  /** What all IPv4 addresses have in common: ::ffff:0:0/96. */
  readonly #ipv4: number;

  constructor(rows: ClaimRows) {
    this.#rows = rows;
    this.#ipv4 = this.#hashWords([0, 0, 0xffff], 0, 0, 3);
    this.#addBucket();
  }

  /** @returns the row; `none` when there is none. */
  find(key: PrefixKey): number {
    let row = this.#head(this.#bucketOf(this.#hash(key.words, 0, key.bits)));
    while (row !== none && !this.#rows.is(row, key)) row = this.#next(row);
    return row;
  }

  /** @param row one whose prefix is not here yet. */
  add(row: number): void {
    this.#put(row, this.#bucketOf(this.#hashOf(row)));
    if (++this.#size > this.#buckets) this.#split();
  }

  /** @param row one that is here. */
  remove(row: number): void {
    const bucket = this.#bucketOf(this.#hashOf(row));
    let before = none;
    for (let at = this.#head(bucket); at !== row; at = this.#next(at)) before = at;
    if (before === none) this.#setHead(bucket, this.#next(row));
    else this.#link(before, this.#next(row));
    this.#size--;
    while (this.#buckets > 1 && 2 * this.#size < this.#buckets) this.#merge();
  }

  #bucketOf(hash: number): number {
    const bucket = hash & (2 * this.#mask + 1);
    return bucket < this.#buckets ? bucket : hash & this.#mask;
  }

  /** Moves about half of the rows of the next bucket in turn to a new one. */
  #split(): void {
    let row = this.#head(this.#buckets & this.#mask);
    this.#setHead(this.#buckets & this.#mask, none);
    this.#addBucket();
    while (row !== none) {
      const next = this.#next(row);
      this.#put(row, this.#bucketOf(this.#hashOf(row)));
      row = next;
    }
    if (this.#buckets === 2 * (this.#mask + 1)) this.#mask = this.#buckets - 1;
  }

  /** The reverse: the last bucket goes back to the one that it was split from. */
  #merge(): void {
    if (this.#buckets === this.#mask + 1) this.#mask >>>= 1;
    const last = --this.#buckets;
    for (let row = this.#head(last); row !== none; ) {
      const next = this.#next(row);
      this.#put(row, last & this.#mask);
      row = next;
    }
    // One chunk is kept, for what comes next.
    if (this.#buckets <= (this.#heads.length - 2) * rowsInChunk) this.#heads.pop();
  }

  #addBucket(): void {
    if (this.#buckets === this.#heads.length * rowsInChunk) this.#heads.push(new Uint32Array(rowsInChunk));
    this.#setHead(this.#buckets++, none);
  }

  #head(bucket: number): number {
    return this.#heads[Math.floor(bucket / rowsInChunk)]?.[offsetOf(bucket)] ?? none;
  }

  #setHead(bucket: number, row: number): void {
    (this.#heads[Math.floor(bucket / rowsInChunk)] as Uint32Array)[offsetOf(bucket)] = row;
  }

  #put(row: number, bucket: number): void {
    this.#link(row, this.#head(bucket));
    this.#setHead(bucket, row);
  }

  #next(row: number): number {
    return this.#rows.columns(row).nextInBucket[offsetOf(row)] ?? none;
  }

  #link(row: number, next: number): void {
    this.#rows.columns(row).nextInBucket[offsetOf(row)] = next;
  }

  #hashOf(row: number): number {
    const { words, bits } = this.#rows.columns(row);
    return this.#hash(words, 4 * offsetOf(row), bits[offsetOf(row)] ?? 0);
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
