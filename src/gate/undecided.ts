// SPDX-License-Identifier: Apache-2.0
// The connections that are not judged yet, and which of them makes room when the gate is full: one of the
// source that holds most of them, before it has said anything rather than after, the oldest first. So a flood
// from few sources pays for itself, and a slow friend stays. Every step takes the same time however many there are.

interface Source<T> {
  readonly silent: Set<T>;
  readonly spoken: Set<T>;
}

/** Sources that hold the same number of undecided connections, each kind in the order of coming to it. */
interface Level<T> {
  /** At least one of their connections is silent. */
  readonly silent: Set<Source<T>>;
  readonly spoken: Set<Source<T>>;
}

export class Undecided<T> {
  readonly #bySource = new Map<string, Source<T>>();
  /** By how many connections a source has; from 1. */
  readonly #levels: Level<T>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(sourceText: string, item: T): void {
    let source = this.#bySource.get(sourceText);
    if (source === undefined) {
      source = { silent: new Set(), spoken: new Set() };
      this.#bySource.set(sourceText, source);
    } else {
      this.#leave(source);
    }
    source.silent.add(item);
    this.#size++;
    this.#enter(source);
  }

  /** It has sent something, and is undecided still. */
  spoke(sourceText: string, item: T): void {
    const source = this.#bySource.get(sourceText);
    if (source === undefined || !source.silent.has(item)) return;
    this.#leave(source);
    source.silent.delete(item);
    source.spoken.add(item);
    this.#enter(source);
  }

  remove(sourceText: string, item: T): void {
    const source = this.#bySource.get(sourceText);
    if (source === undefined || !(source.silent.has(item) || source.spoken.has(item))) return;
    this.#leave(source);
    source.silent.delete(item);
    source.spoken.delete(item);
    this.#size--;
    if (source.silent.size + source.spoken.size > 0) this.#enter(source);
    else this.#bySource.delete(sourceText);
  }

  /** Who makes room. */
  victim(): T | undefined {
    const level = this.#levels.at(-1);
    const source = first(level?.silent) ?? first(level?.spoken);
    return first(source?.silent) ?? first(source?.spoken);
  }

  #enter(source: Source<T>): void {
    const count = source.silent.size + source.spoken.size;
    while (this.#levels.length < count) this.#levels.push({ silent: new Set(), spoken: new Set() });
    const level = this.#levels[count - 1];
    (source.silent.size > 0 ? level?.silent : level?.spoken)?.add(source);
  }

  #leave(source: Source<T>): void {
    const level = this.#levels[source.silent.size + source.spoken.size - 1];
    level?.silent.delete(source);
    level?.spoken.delete(source);
    for (let top = this.#levels.at(-1); top?.silent.size === 0 && top.spoken.size === 0; top = this.#levels.at(-1)) {
      this.#levels.pop();
    }
  }
}

function first<T>(set: Set<T> | undefined): T | undefined {
  return set?.values().next().value;
}
