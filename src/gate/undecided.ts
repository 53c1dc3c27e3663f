// SPDX-License-Identifier: Apache-2.0
// The connections that are not judged yet, and which of them makes room when the gate is full: one of the
// source that holds most of them, one that has been silent for a while rather than one that spoke, the oldest first.
// So a flood from few sources pays for itself, and a slow friend stays. One that has just come is not silent yet: on a
// long way the first packet takes its time, and many who send a byte each would else push it out. Every step takes the
// same time however many there are, but for `grow`, which looks at those that have just come.

interface Source<T> {
  readonly silent: Set<T>;
  /** It has sent something, or has just come. */
  readonly excused: Set<T>;
}

/** Sources that hold the same number of undecided connections, each kind in the order of coming to it. */
interface Level<T> {
  /** At least one of their connections is silent. */
  readonly silent: Set<Source<T>>;
  readonly excused: Set<Source<T>>;
}

export class Undecided<T> {
  readonly #bySource = new Map<string, Source<T>>();
  /** By how many connections a source has; from 1. */
  readonly #levels: Level<T>[] = [];
  #size = 0;
  /** Silent, and here since the last `grow`, or the one before; with their sources. */
  #young = new Map<T, string>();
  #older = new Map<T, string>();

  get size(): number {
    return this.#size;
  }

  add(sourceText: string, item: T): void {
    let source = this.#bySource.get(sourceText);
    if (source === undefined) {
      source = { silent: new Set(), excused: new Set() };
      this.#bySource.set(sourceText, source);
    } else {
      this.#leave(source);
    }
    source.excused.add(item);
    this.#young.set(item, sourceText);
    this.#size++;
    this.#enter(source);
  }

  /** It has sent something, and is undecided still. */
  spoke(sourceText: string, item: T): void {
    this.#outgrown(item);
    const source = this.#bySource.get(sourceText);
    if (source === undefined || !source.silent.has(item)) return;
    this.#leave(source);
    source.silent.delete(item);
    source.excused.add(item);
    this.#enter(source);
  }

  remove(sourceText: string, item: T): void {
    const source = this.#bySource.get(sourceText);
    if (source === undefined || !(source.silent.has(item) || source.excused.has(item))) return;
    this.#leave(source);
    this.#outgrown(item);
    source.silent.delete(item);
    source.excused.delete(item);
    this.#size--;
    if (source.silent.size + source.excused.size > 0) this.#enter(source);
    else this.#bySource.delete(sourceText);
  }

  /** Time goes by: at the second call from its coming one that has sent nothing is silent. */
  grow(): void {
    const grown = this.#older;
    this.#older = this.#young;
    this.#young = new Map();
    for (const [item, sourceText] of grown) {
      const source = this.#bySource.get(sourceText);
      if (source === undefined) continue;
      this.#leave(source);
      source.excused.delete(item);
      source.silent.add(item);
      this.#enter(source);
    }
  }

  /** Who makes room. */
  victim(): T | undefined {
    const level = this.#levels.at(-1);
    const source = first(level?.silent) ?? first(level?.excused);
    return first(source?.silent) ?? first(source?.excused);
  }

  #outgrown(item: T): void {
    this.#young.delete(item);
    this.#older.delete(item);
  }

  #enter(source: Source<T>): void {
    const count = source.silent.size + source.excused.size;
    while (this.#levels.length < count) this.#levels.push({ silent: new Set(), excused: new Set() });
    const level = this.#levels[count - 1];
    (source.silent.size > 0 ? level?.silent : level?.excused)?.add(source);
  }

  #leave(source: Source<T>): void {
    const level = this.#levels[source.silent.size + source.excused.size - 1];
    level?.silent.delete(source);
    level?.excused.delete(source);
    for (let top = this.#levels.at(-1); top?.silent.size === 0 && top.excused.size === 0; top = this.#levels.at(-1)) {
      this.#levels.pop();
    }
  }
}

function first<T>(set: Set<T> | undefined): T | undefined {
  return set?.values().next().value;
}
