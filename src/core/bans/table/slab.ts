// SPDX-License-Identifier: Apache-2.0
// Rows of numbers in chunks of columns. A million of them are a few hundred objects for the garbage collector; none
// is copied when there are more, and a chunk that is empty goes back. Knows nothing of what is in a row.

/** In place of a row: there is none. */
export const none = 0xffff_ffff;

const chunkBits = 12;
export const rowsInChunk = 2 ** chunkBits;
const inChunk = rowsInChunk - 1;

/** Where a row lies in the columns of its chunk. */
export function offsetOf(row: number): number {
  return row & inChunk;
}

/** Of a chunk. */
interface Free {
  /** Offsets of the rows, the next one to be taken last. */
  readonly offsets: Uint16Array;
  count: number;
}

export class Slab<Columns> {
  readonly #make: () => Columns;
  readonly #columns: (Columns | undefined)[] = [];
  readonly #free: (Free | undefined)[] = [];
  /** Chunks with free rows; the last one is filled. */
  readonly #open: number[] = [];
  readonly #unused: number[] = [];

  /** @param make columns of `rowsInChunk` rows. */
  constructor(make: () => Columns) {
    this.#make = make;
  }

  /** The columns that a row is in, at `offsetOf(row)`. */
  columns(row: number): Columns {
    return this.#columns[row >>> chunkBits] as Columns;
  }

  /** @returns a row, with what was in it before. */
  take(): number {
    const number = this.#open.at(-1) ?? this.#grow();
    const free = this.#free[number] as Free;
    free.count--;
    if (free.count === 0) this.#open.pop();
    return (number << chunkBits) + (free.offsets[free.count] ?? 0);
  }

  release(row: number): void {
    const number = row >>> chunkBits;
    const free = this.#free[number] as Free;
    free.offsets[free.count++] = offsetOf(row);
    if (free.count === 1) this.#open.push(number);
    if (free.count < rowsInChunk || this.#open.length === 1) return;
    this.#open.splice(this.#open.indexOf(number), 1);
    this.#columns[number] = undefined;
    this.#free[number] = undefined;
    this.#unused.push(number);
  }

  #grow(): number {
    const number = this.#unused.pop() ?? this.#columns.length;
    const offsets = new Uint16Array(rowsInChunk);
    for (let offset = 0; offset < rowsInChunk; offset++) offsets[offset] = inChunk - offset;
    this.#columns[number] = this.#make();
    this.#free[number] = { offsets, count: rowsInChunk };
    this.#open.push(number);
    return number;
  }
}
