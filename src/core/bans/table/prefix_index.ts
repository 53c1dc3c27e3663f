// SPDX-License-Identifier: Apache-2.0
// Finds the row of a prefix: hashing with linear probing, in so many small tables that one which grows is filled
// anew within microseconds. The hash is simple tabulation with random tables (Patrascu and Thorup, "The Power of
// Simple Tabulation Hashing", 2012): nobody can choose addresses that meet in it.
import type { Prefix } from "../../address.ts";
import type { ClaimRows } from "./claim_rows.ts";
import { none, offsetOf } from "./slab.ts";

type Key = Pick<Prefix, "words" | "bits">;

const tableBits = 12;
const leastPlaces = 8;
const noPlaces = new Uint32Array(0);

export class PrefixIndex {
  readonly #rows: ClaimRows;
  /** For each byte of an address 256 random numbers, and for the lengths. */
  readonly #random = crypto.getRandomValues(new Uint32Array(17 * 256));
  /** Rows and one more; 0 is an empty place. */
  readonly #tables: Uint32Array[] = new Array<Uint32Array>(2 ** tableBits).fill(noPlaces);
  readonly #used = new Uint32Array(2 ** tableBits);
  /** What all IPv4 addresses have in common: ::ffff:0:0/96. */
  readonly #ipv4: number;

  constructor(rows: ClaimRows) {
    this.#rows = rows;
    this.#ipv4 = this.#hashWords([0, 0, 0xffff], 0, 0, 3);
  }

  /** @returns the row; `none` when there is none. */
  find(key: Key): number {
    const hash = this.#hash(key.words, 0, key.bits);
    const places = this.#places(hash);
    if (places.length === 0) return none;
    for (let at = hash & (places.length - 1); ; at = (at + 1) & (places.length - 1)) {
      const row = (places[at] ?? 0) - 1;
      if (row < 0) return none;
      if (this.#rows.is(row, key)) return row;
    }
  }

  /** @param row one whose prefix is not here yet. */
  add(row: number): void {
    const hash = this.#hashOf(row);
    const used = this.#count(hash, 1);
    const { length } = this.#places(hash);
    if (used * 4 > length * 3) this.#resize(hash, Math.max(leastPlaces, 2 * length));
    put(this.#places(hash), hash, row);
  }

  /** @param row one that is here. */
  remove(row: number): void {
    const hash = this.#hashOf(row);
    const places = this.#places(hash);
    const last = places.length - 1;
    let hole = hash & last;
    while (places[hole] !== row + 1) hole = (hole + 1) & last;
    // What was put behind it for want of its place moves up (Knuth, volume 3, 6.4, algorithm R).
    for (let at = (hole + 1) & last; places[at] !== 0; at = (at + 1) & last) {
      const home = this.#hashOf((places[at] ?? 0) - 1) & last;
      if (((at - home) & last) < ((at - hole) & last)) continue;
      places[hole] = places[at] ?? 0;
      hole = at;
    }
    places[hole] = 0;
    const used = this.#count(hash, -1);
    if (used === 0) this.#tables[hash >>> (32 - tableBits)] = noPlaces;
    else if (used * 8 < places.length && places.length > leastPlaces) this.#resize(hash, places.length / 2);
  }

  #places(hash: number): Uint32Array {
    return this.#tables[hash >>> (32 - tableBits)] as Uint32Array;
  }

  #count(hash: number, change: number): number {
    const table = hash >>> (32 - tableBits);
    const used = (this.#used[table] ?? 0) + change;
    this.#used[table] = used;
    return used;
  }

  #resize(hash: number, length: number): void {
    const places = new Uint32Array(length);
    const before = this.#places(hash);
    // By number: an iterator over them takes as long as all the rest.
    for (let at = 0; at < before.length; at++) {
      const row = (before[at] ?? 0) - 1;
      if (row >= 0) put(places, this.#hashOf(row), row);
    }
    this.#tables[hash >>> (32 - tableBits)] = places;
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

function put(places: Uint32Array, hash: number, row: number): void {
  let at = hash & (places.length - 1);
  while (places[at] !== 0) at = (at + 1) & (places.length - 1);
  places[at] = row + 1;
}
