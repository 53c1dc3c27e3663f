// SPDX-License-Identifier: Apache-2.0
// Rows in the order in which they came. Each has a ticket, a number that is never given again: who goes through
// them over many turns, or notes some for later, meets no row twice and none in another's place.
import { none, offsetOf, Slab } from "./slab.ts";

/** Small: a page stays as long as one of its rows. */
const rowsInPage = 64;
/** Of 16 KiB. */
const pagesInChunk = 64;

class Pages {
  readonly rows = new Uint32Array(rowsInPage * pagesInChunk);
  readonly used = new Uint8Array(pagesInChunk);
}

export class Arrivals {
  readonly #slab = new Slab(() => new Pages(), pagesInChunk);
  /** By the number of a page, where it is. */
  readonly #pages = new Map<number, number>();
  #next = 0;

  /** @returns its ticket. */
  add(row: number): number {
    const ticket = this.#next++;
    const number = Math.floor(ticket / rowsInPage);
    const page = this.#pages.get(number) ?? this.#begin(number);
    this.#slab.columns(page).rows[placeOf(page, ticket)] = row;
    this.#count(page, 1);
    return ticket;
  }

  remove(ticket: number): void {
    const number = Math.floor(ticket / rowsInPage);
    const page = this.#pages.get(number);
    if (page === undefined) return;
    this.#slab.columns(page).rows[placeOf(page, ticket)] = none;
    if (this.#count(page, -1) > 0) return;
    this.#pages.delete(number);
    this.#slab.release(page);
  }

  /** @returns `none` for one that has gone. */
  row(ticket: number): number {
    const page = this.#pages.get(Math.floor(ticket / rowsInPage));
    return page === undefined ? none : (this.#slab.columns(page).rows[placeOf(page, ticket)] ?? none);
  }

  /** The row that came first of those that are there. */
  first(): number {
    for (const row of this.all((one) => one)) return row;
    return none;
  }

  /** All rows, in pages with `none` in between, each good until the next turn. Goes on over many turns, as `all` does. */
  *pages(): Generator<Uint32Array, void, void> {
    for (const page of this.#pages.values()) yield this.#rowsOf(page);
  }

  /** Goes on over many turns: those that go meanwhile are left out, those that come may be. */
  all<T>(read: (row: number) => T): IteratorObject<T, undefined, unknown> {
    return new Walk(this.#pages.keys(), (ticket) => this.row(ticket), read);
  }

  /** @returns how many of its rows are there. */
  #count(page: number, change: number): number {
    const { used } = this.#slab.columns(page);
    const at = offsetOf(page, pagesInChunk);
    const count = (used[at] ?? 0) + change;
    used[at] = count;
    return count;
  }

  #begin(number: number): number {
    const page = this.#slab.take();
    this.#rowsOf(page).fill(none);
    this.#slab.columns(page).used[offsetOf(page, pagesInChunk)] = 0;
    this.#pages.set(number, page);
    return page;
  }

  #rowsOf(page: number): Uint32Array {
    return this.#slab.columns(page).rows.subarray(placeOf(page, 0), placeOf(page, 0) + rowsInPage);
  }
}

/** Where a ticket's row lies in the chunk of its page. */
function placeOf(page: number, ticket: number): number {
  return rowsInPage * offsetOf(page, pagesInChunk) + (ticket % rowsInPage);
}

/** Without `return`: who takes a part of it can take the rest later. */
class Walk<T> extends Iterator<T, undefined, unknown> {
  readonly #pages: Iterator<number>;
  readonly #rowOf: (ticket: number) => number;
  readonly #read: (row: number) => T;
  #ticket = 0;
  #end = 0;

  constructor(pages: Iterator<number>, rowOf: (ticket: number) => number, read: (row: number) => T) {
    super();
    this.#pages = pages;
    this.#rowOf = rowOf;
    this.#read = read;
  }

  next(): IteratorResult<T, undefined> {
    for (;;) {
      while (this.#ticket < this.#end) {
        const row = this.#rowOf(this.#ticket++);
        if (row !== none) return { done: false, value: this.#read(row) };
      }
      const page = this.#pages.next();
      if (page.done === true) return { done: true, value: undefined };
      this.#ticket = page.value * rowsInPage;
      this.#end = this.#ticket + rowsInPage;
    }
  }
}
