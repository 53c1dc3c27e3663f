// SPDX-License-Identifier: Apache-2.0
// Those that have just come, until they have been here for a while: from one look to the second one after it. Who
// leaves before, as most do, costs no object of its own, and nothing is left of it.

export interface Newcomer {
  /** Where it stands among those that came with it; undefined: nowhere. */
  youth?: number | undefined;
}

export class Newcomers<T extends Newcomer> {
  /** Here since the last look, or the one before. */
  #young: (T | undefined)[] = [];
  #older: (T | undefined)[] = [];

  add(item: T): void {
    item.youth = this.#young.push(item) - 1;
  }

  /** @param item may be none of them. */
  remove(item: T): void {
    const { youth } = item;
    if (youth === undefined) return;
    item.youth = undefined;
    const list = this.#young[youth] === item ? this.#young : this.#older;
    if (list[youth] === item) list[youth] = undefined;
  }

  /** A look: whoever was here at the one before, but for those that are removed meanwhile. */
  *grown(): Generator<T, void, void> {
    const grown = this.#older;
    this.#older = this.#young;
    this.#young = [];
    for (const item of grown) {
      if (item?.youth === undefined) continue;
      item.youth = undefined;
      yield item;
    }
  }
}
