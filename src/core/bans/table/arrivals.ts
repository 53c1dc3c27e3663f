// SPDX-License-Identifier: Apache-2.0
// Rows in the order in which they came. Each has a ticket, a number that is never given again: who goes through
// them over many turns, or notes some for later, meets no row twice and none in another's place.
import { none } from "./slab.ts";

/** Small: a page stays as long as one of its rows. */
const rowsInPage = 64;

interface Page {
  readonly rows: Uint32Array;
  used: number;
}

export class Arrivals {
  readonly #pages = new Map<number, Page>();
  #next = 0;

  /** The ticket of the one that comes next. */
  get next(): number {
    return this.#next;
  }

  /** @returns its ticket. */
  add(row: number): number {
    const ticket = this.#next++;
    const number = Math.floor(ticket / rowsInPage);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { rows: new Uint32Array(rowsInPage).fill(none), used: 0 };
      this.#pages.set(number, page);
    }
    page.rows[ticket % rowsInPage] = row;
    page.used++;
    return ticket;
  }

  remove(ticket: number): void {
    const number = Math.floor(ticket / rowsInPage);
    const page = this.#pages.get(number);
    if (page === undefined) return;
    page.rows[ticket % rowsInPage] = none;
    page.used--;
    if (page.used === 0) this.#pages.delete(number);
  }

  /** @returns `none` for one that has gone. */
  row(ticket: number): number {
    return this.#pages.get(Math.floor(ticket / rowsInPage))?.rows[ticket % rowsInPage] ?? none;
  }

  /** The row that came first of those that are there. */
  first(): number {
    for (const row of this.all((one) => one)) return row;
    return none;
  }

  /** Goes on over many turns: those that go meanwhile are left out, those that come may be. */
  all<T>(read: (row: number) => T): IteratorObject<T, undefined, unknown> {
    return new Walk(this.#pages.values(), read);
  }
}

/** Without `return`: who takes a part of it can take the rest later. */
class Walk<T> extends Iterator<T, undefined, unknown> {
  readonly #pages: Iterator<Page>;
  readonly #read: (row: number) => T;
  #rows = new Uint32Array(0);
  #at = 0;

  constructor(pages: Iterator<Page>, read: (row: number) => T) {
    super();
    this.#pages = pages;
    this.#read = read;
  }

  next(): IteratorResult<T, undefined> {
    for (;;) {
      while (this.#at < this.#rows.length) {
        const row = this.#rows[this.#at++] ?? none;
        if (row !== none) return { done: false, value: this.#read(row) };
      }
      const page = this.#pages.next();
      if (page.done === true) return { done: true, value: undefined };
      this.#rows = page.value.rows as Uint32Array<ArrayBuffer>;
      this.#at = 0;
    }
  }
}
