// SPDX-License-Identifier: Apache-2.0
// A map by text in many small maps: one of half a million entries would stand still for tens of milliseconds whenever
// it grows. Pure.
const shards = 256;

export class ShardedMap<V> {
  readonly #shards = Array.from({ length: shards }, () => new Map<string, V>());
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(key: string): boolean {
    return this.#of(key).has(key);
  }

  get(key: string): V | undefined {
    return this.#of(key).get(key);
  }

  set(key: string, value: V): void {
    const shard = this.#of(key);
    if (!shard.has(key)) this.#size++;
    shard.set(key, value);
  }

  delete(key: string): void {
    if (this.#of(key).delete(key)) this.#size--;
  }

  *keys(): Generator<string, void, void> {
    for (const shard of this.#shards) yield* shard.keys();
  }

  *[Symbol.iterator](): Generator<readonly [key: string, value: V], void, void> {
    for (const shard of this.#shards) yield* shard;
  }

  #of(key: string): Map<string, V> {
    let hash = 0;
    for (let index = 0; index < key.length; index++) hash = (hash * 31 + key.charCodeAt(index)) | 0;
    return this.#shards[hash & (shards - 1)] as Map<string, V>;
  }
}
