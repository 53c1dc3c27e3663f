// SPDX-License-Identifier: Apache-2.0
// What a list names: canonical prefixes, and how long where the list says so.
import { ShardedMap } from "../sharded_map.ts";

/** By the text of the prefix; milliseconds, Infinity without an end, undefined when the list does not say. */
export class Entries {
  readonly #bySource = new ShardedMap<number | undefined>();

  get size(): number {
    return this.#bySource.size;
  }

  has(source: string): boolean {
    return this.#bySource.has(source);
  }

  /** Named twice, the longer counts. */
  add(source: string, forMs: number | undefined): void {
    if (this.#bySource.has(source)) {
      const before = this.#bySource.get(source);
      if (forMs === undefined || (before !== undefined && before >= forMs)) return;
    }
    this.#bySource.set(source, forMs);
  }

  [Symbol.iterator](): Generator<readonly [source: string, forMs: number | undefined], void, void> {
    return this.#bySource[Symbol.iterator]();
  }
}
