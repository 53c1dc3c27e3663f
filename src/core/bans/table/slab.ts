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

interface Chunk<Columns> {
  readonly columns: Columns;
  /** Offsets of the free rows, the next one to be taken last. */
  readonly free: Uint16Array;
  freeCount: number;
}

export class Slab<Columns> {
  readonly #make: () => Columns;
  readonly #chunks: (Chunk<Columns> | undefined)[] = [];
  /** Chunks with free rows; the last one is filled. */
  readonly #open: number[] = [];
  readonly #unused: number[] = [];

  /** @param make columns of `rowsInChunk` rows. */
  constructor(make: () => Columns) {
    this.#make = make;
  }

  /** The columns that a row is in, at `offsetOf(row)`. */
  columns(row: number): Columns {
    return this.#chunk(row >>> chunkBits).columns;
  }

  /** @returns a row, with what was in it before. */
  take(): number {
    const number = this.#open.at(-1) ?? this.#grow();
    const chunk = this.#chunk(number);
    chunk.freeCount--;
    if (chunk.freeCount === 0) this.#open.pop();
    return (number << chunkBits) + (chunk.free[chunk.freeCount] ?? 0);
  }

  release(row: number): void {
    const number = row >>> chunkBits;
    const chunk = this.#chunk(number);
    chunk.free[chunk.freeCount++] = offsetOf(row);
    if (chunk.freeCount === 1) this.#open.push(number);
    if (chunk.freeCount < rowsInChunk || this.#open.length === 1) return;
    this.#open.splice(this.#open.indexOf(number), 1);
    this.#chunks[number] = undefined;
    this.#unused.push(number);
  }

  #chunk(number: number): Chunk<Columns> {
    return this.#chunks[number] as Chunk<Columns>;
  }

  #grow(): number {
    const number = this.#unused.pop() ?? this.#chunks.length;
    const free = new Uint16Array(rowsInChunk);
    for (let offset = 0; offset < rowsInChunk; offset++) free[offset] = inChunk - offset;
    this.#chunks[number] = { columns: this.#make(), free, freeCount: rowsInChunk };
    this.#open.push(number);
    return number;
  }
}
