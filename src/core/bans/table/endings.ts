// SPDX-License-Identifier: Apache-2.0
// Rows by when they end: a heap, of four below each, since what stands side by side in it came together and lies side
// by side in memory. Each row knows its place in it, so that any one can be taken out.
import type { ClaimRows } from "./claim_rows.ts";
import { none, offsetOf, rowsInChunk } from "./slab.ts";

const below = 4;

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
    const isEarlier = hole > 0 && this.#ends(last) < this.#ends(this.#at(aboveOf(hole)));
    if (isEarlier) this.#up(hole, last);
    else this.#down(hole, last);
  }

  #up(from: number, row: number): void {
    let at = from;
    const untilMs = this.#ends(row);
    while (at > 0) {
      const parent = aboveOf(at);
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
    for (let child = below * at + 1; child < this.#size; child = below * at + 1) {
      const end = Math.min(child + below, this.#size);
      let first = child;
      let firstMs = this.#ends(this.#at(child));
      for (let other = child + 1; other < end; other++) {
        const otherMs = this.#ends(this.#at(other));
        if (otherMs >= firstMs) continue;
        first = other;
        firstMs = otherMs;
      }
      if (untilMs <= firstMs) break;
      this.#set(at, this.#at(first));
      at = first;
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

function aboveOf(at: number): number {
  return Math.floor((at - 1) / below);
}
