// SPDX-License-Identifier: Apache-2.0
// A list whose members hold their neighbours themselves, in the order of joining: a member leaves in no time, and
// nothing of it stays. A Set that many pass through is outgrown again and again; each outgrown table refers to the
// next, so that JavaScriptCore keeps them, with all that was in them, until a collection of the whole heap.

export interface Chained<T extends Chained<T>> {
  /** Where it is; in one chain at a time. */
  chain: Chain<T> | undefined;
  previous: T | undefined;
  next: T | undefined;
}

export class Chain<T extends Chained<T>> {
  first: T | undefined;
  #last: T | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param item in no chain. */
  append(item: T): void {
    item.chain = this;
    item.previous = this.#last;
    if (this.#last === undefined) this.first = item;
    else this.#last.next = item;
    this.#last = item;
    this.#size++;
  }

  /** @param item may be elsewhere. */
  remove(item: T): void {
    if (item.chain !== this) return;
    const { previous, next } = item;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    item.chain = item.previous = item.next = undefined;
    this.#size--;
  }
}
