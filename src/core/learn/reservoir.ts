// SPDX-License-Identifier: Apache-2.0
// A sample of bounded size out of any number of things, each with the same chance to be in it (Vitter
// 1985, algorithm R): recordings of a whole day count as much as those of its last minute.

export class Reservoir<T> {
  readonly items: T[] = [];
  /** How many were offered. */
  offered = 0;
  readonly #capacity: number;
  readonly #random: () => number;

  /** @param random from 0 up to but not including 1. */
  constructor(capacity: number, random: () => number) {
    this.#capacity = capacity;
    this.#random = random;
  }

  add(item: T): void {
    this.offered++;
    if (this.items.length < this.#capacity) {
      this.items.push(item);
      return;
    }
    const place = Math.floor(this.#random() * this.offered);
    if (place < this.#capacity) this.items[place] = item;
  }
}
