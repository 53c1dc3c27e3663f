// SPDX-License-Identifier: Apache-2.0
// Things that end at a given time, found without scanning: one bucket for each second, the seconds in
// a heap. Adding and removing touch one bucket; the heap moves only when a bucket is opened or ends.
import TinyQueue from "tinyqueue";
import { Chain, type Chained } from "../chain.ts";

export class Expiry<T extends Chained<T>> {
  readonly #buckets = new Map<number, Chain<T>>();
  readonly #seconds = new TinyQueue<number>();

  /** @param item in no chain. @param deadlineMs same clock as `due`; Infinity never comes due. */
  add(item: T, deadlineMs: number): void {
    if (deadlineMs === Number.POSITIVE_INFINITY) return;
    const second = secondOf(deadlineMs);
    let bucket = this.#buckets.get(second);
    if (bucket === undefined) {
      bucket = new Chain();
      this.#buckets.set(second, bucket);
      this.#seconds.push(second);
    }
    bucket.append(item);
  }

  /** @param deadlineMs the one it was added with. */
  remove(item: T, deadlineMs: number): void {
    this.#buckets.get(secondOf(deadlineMs))?.remove(item);
  }

  /** Takes out at most `limit` items whose second is over: up to a second late, never early. */
  due(nowMs: number, limit = Number.POSITIVE_INFINITY): T[] {
    const items: T[] = [];
    for (
      let second = this.#seconds.peek();
      second !== undefined && second * 1000 <= nowMs;
      second = this.#seconds.peek()
    ) {
      const bucket = this.#buckets.get(second);
      for (let item = bucket?.first; item !== undefined; item = bucket?.first) {
        if (items.length >= limit) return items;
        bucket?.remove(item);
        items.push(item);
      }
      this.#close(second);
    }
    return items;
  }

  /** The item that ends first; undefined when nothing ends. */
  soonest(): T | undefined {
    for (let second = this.#seconds.peek(); second !== undefined; second = this.#seconds.peek()) {
      const first = this.#buckets.get(second)?.first;
      if (first !== undefined) return first;
      this.#close(second);
    }
    return undefined;
  }

  #close(second: number): void {
    this.#buckets.delete(second);
    this.#seconds.pop();
  }
}

function secondOf(deadlineMs: number): number {
  return Math.ceil(deadlineMs / 1000);
}
