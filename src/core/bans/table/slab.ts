// SPDX-License-Identifier: Apache-2.0
// Rows of numbers in chunks of columns. A million of them are a few hundred objects for the garbage collector; none
// is copied when there are more, and a chunk that is empty goes back. Knows nothing of what is in a row.

/** In place of a row: there is none. */
export const none = 0xffff_ffff;

export const rowsInChunk = 2 ** 12;

/** Where a row lies in the columns of its chunk. @param rows of a chunk: a power of two. */
export function offsetOf(row: number, rows = rowsInChunk): number {
  return row & (rows - 1);
}

/** Of a chunk. */
interface Free {
  /** Offsets of the rows, the next one to be taken last. */
  readonly offsets: Uint16Array;
  count: number;
}

export class Slab<Columns> {
  readonly #make: () => Columns;
  readonly #rows: number;
  readonly #shift: number;
  readonly #columns: (Columns | undefined)[] = [];
  readonly #free: (Free | undefined)[] = [];
  /** Chunks with free rows; the last one is filled. */
  readonly #open: number[] = [];
  readonly #unused: number[] = [];

  /** @param make columns of so many rows. @param rows a power of two, 65,536 at most. */
  constructor(make: () => Columns, rows = rowsInChunk) {
    this.#make = make;
    this.#rows = rows;
    this.#shift = Math.log2(rows);
  }

  /** The columns that a row is in, at `offsetOf(row)`. */
  columns(row: number): Columns {
    return this.#columns[row >>> this.#shift] as Columns;
  }

  /** @returns a row, with what was in it before. */
  take(): number {
    const number = this.#open.at(-1) ?? this.#grow();
    const free = this.#free[number] as Free;
    free.count--;
    if (free.count === 0) this.#open.pop();
    return (number << this.#shift) + (free.offsets[free.count] ?? 0);
  }

  release(row: number): void {
    const number = row >>> this.#shift;
    const free = this.#free[number] as Free;
    free.offsets[free.count++] = offsetOf(row, this.#rows);
    if (free.count === 1) this.#open.push(number);
    if (free.count < this.#rows || this.#open.length === 1) return;
    this.#open.splice(this.#open.indexOf(number), 1);
    this.#columns[number] = undefined;
    this.#free[number] = undefined;
    this.#unused.push(number);
  }

  #grow(): number {
    const number = this.#unused.pop() ?? this.#columns.length;
    const offsets = new Uint16Array(this.#rows);
    for (let offset = 0; offset < this.#rows; offset++) offsets[offset] = this.#rows - 1 - offset;
    this.#columns[number] = this.#make();
    this.#free[number] = { offsets, count: this.#rows };
    this.#open.push(number);
    return number;
  }
}
