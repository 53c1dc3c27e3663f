// SPDX-License-Identifier: Apache-2.0
// Rows by when they end: a binary heap. Each row knows its place in it, so that any one can be taken out.
import type { ClaimRows } from "./claim_rows.ts";
import { none, offsetOf, rowsInChunk } from "./slab.ts";

export class Endings {
  readonly #rows: ClaimRows;
  /** In chunks, so that nothing is copied when there are more. */
  readonly #heap: Uint32Array[] = [];
  #size = 0;

  constructor(rows: ClaimRows) {
    this.#rows = rows;
  }

  get size(): number {
    return this.#size;
  }

  /** The row that ends first; `none` when there is none. Those without an end come last. */
  first(): number {
    return this.#size === 0 ? none : this.#at(0);
  }

  add(row: number): void {
    if (this.#size === this.#heap.length * rowsInChunk) this.#heap.push(new Uint32Array(rowsInChunk));
    this.#size++;
    this.#up(this.#size - 1, row);
  }

  remove(row: number): void {
    const hole = this.#rows.columns(row).ending[offsetOf(row)] ?? 0;
    this.#size--;
    const last = this.#at(this.#size);
    // One chunk is kept, for what comes next.
    if (this.#size <= (this.#heap.length - 2) * rowsInChunk) this.#heap.pop();
    if (last === row) return;
    const isEarlier = hole > 0 && this.#ends(last) < this.#ends(this.#at((hole - 1) >> 1));
    if (isEarlier) this.#up(hole, last);
    else this.#down(hole, last);
  }

  #up(from: number, row: number): void {
    let at = from;
    const untilMs = this.#ends(row);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#at(parent);
      if (this.#ends(above) <= untilMs) break;
      this.#set(at, above);
      at = parent;
    }
    this.#set(at, row);
  }

  #down(from: number, row: number): void {
    let at = from;
    const untilMs = this.#ends(row);
    for (let child = 2 * at + 1; child < this.#size; child = 2 * at + 1) {
      const right = child + 1;
      if (right < this.#size && this.#ends(this.#at(right)) < this.#ends(this.#at(child))) child = right;
      const below = this.#at(child);
      if (untilMs <= this.#ends(below)) break;
      this.#set(at, below);
      at = child;
    }
    this.#set(at, row);
  }

  #ends(row: number): number {
    return this.#rows.untilMs(row);
  }

  #at(index: number): number {
    return this.#heap[Math.floor(index / rowsInChunk)]?.[offsetOf(index)] ?? none;
  }

  #set(index: number, row: number): void {
    (this.#heap[Math.floor(index / rowsInChunk)] as Uint32Array)[offsetOf(index)] = row;
    this.#rows.columns(row).ending[offsetOf(row)] = index;
  }
}
