// SPDX-License-Identifier: Apache-2.0
// What a list names: canonical prefixes, and how long where the list says so. In many small maps: one of half a
// million would stand still for tens of milliseconds whenever it grows.
const shards = 256;

/** By the text of the prefix; milliseconds, Infinity without an end, undefined when the list does not say. */
export class Entries {
  readonly #shards = Array.from({ length: shards }, () => new Map<string, number | undefined>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(source: string): boolean {
    return this.#of(source).has(source);
  }

  /** Named twice, the longer counts. */
  add(source: string, forMs: number | undefined): void {
    const shard = this.#of(source);
    if (!shard.has(source)) this.#size++;
    else {
      const before = shard.get(source);
      if (forMs === undefined || (before !== undefined && before >= forMs)) return;
    }
    shard.set(source, forMs);
  }

  *[Symbol.iterator](): Generator<readonly [source: string, forMs: number | undefined]> {
    for (const shard of this.#shards) yield* shard;
  }

  #of(source: string): Map<string, number | undefined> {
    let hash = 0;
    for (let index = 0; index < source.length; index++) hash = (hash * 31 + source.charCodeAt(index)) | 0;
    return this.#shards[hash & (shards - 1)] as Map<string, number | undefined>;
  }
}
