// SPDX-License-Identifier: Apache-2.0
// The connections that are not judged yet, and which of them makes room when the gate is full: one of the
// source that holds most of them, before it has said anything rather than after, the oldest first. So a flood
// from few sources pays for itself, and a slow friend stays. Every step takes the same time however many there are.

/** Nearly every source has one connection, which is judged by its first packet: a set is made when it is needed. */
interface Source<T> {
  silent: Set<T> | undefined;
  spoken: Set<T> | undefined;
}

/** Sources that hold the same number of undecided connections, each kind in the order of coming to it. */
interface Level<T> {
  /** At least one of their connections is silent. */
  readonly silent: Set<Source<T>>;
  readonly spoken: Set<Source<T>>;
}

export class Undecided<T> {
  readonly #bySource = new Map<string, Source<T>>();
  /** By how many connections a source has, from 1, to the most that one has. */
  readonly #levels: Level<T>[] = [newLevel()];

  add(sourceText: string, item: T): void {
    let source = this.#bySource.get(sourceText);
    if (source === undefined) {
      source = { silent: undefined, spoken: undefined };
      this.#bySource.set(sourceText, source);
    } else {
      this.#leave(source);
    }
    source.silent ??= new Set();
    source.silent.add(item);
    this.#enter(source);
  }

  /** It has sent something, and is undecided still. */
  spoke(sourceText: string, item: T): void {
    const source = this.#bySource.get(sourceText);
    if (source?.silent?.has(item) !== true) return;
    this.#leave(source);
    source.silent.delete(item);
    source.spoken ??= new Set();
    source.spoken.add(item);
    this.#enter(source);
  }

  remove(sourceText: string, item: T): void {
    const source = this.#bySource.get(sourceText);
    const kind = source?.silent?.has(item) === true ? source.silent : source?.spoken;
    if (source === undefined || kind?.has(item) !== true) return;
    this.#leave(source);
    kind.delete(item);
    if (countOf(source) > 0) this.#enter(source);
    else this.#bySource.delete(sourceText);
    // It went down by one, so no more than one is empty now.
    if (this.#levels.length > 1 && isEmpty(this.#levels.at(-1))) this.#levels.pop();
  }

  /** Who makes room. */
  victim(): T | undefined {
    const level = this.#levels.at(-1);
    const source = first(level?.silent) ?? first(level?.spoken);
    return first(source?.silent) ?? first(source?.spoken);
  }

  #enter(source: Source<T>): void {
    const count = countOf(source);
    if (this.#levels.length < count) this.#levels.push(newLevel());
    const level = this.#levels[count - 1];
    (isSilent(source) ? level?.silent : level?.spoken)?.add(source);
  }

  #leave(source: Source<T>): void {
    const level = this.#levels[countOf(source) - 1];
    (isSilent(source) ? level?.silent : level?.spoken)?.delete(source);
  }
}

function newLevel<T>(): Level<T> {
  return { silent: new Set(), spoken: new Set() };
}

function countOf<T>({ silent, spoken }: Source<T>): number {
  return (silent?.size ?? 0) + (spoken?.size ?? 0);
}

/** At least one of its connections. */
function isSilent<T>({ silent }: Source<T>): boolean {
  return silent !== undefined && silent.size > 0;
}

function isEmpty<T>(level: Level<T> | undefined): boolean {
  return level !== undefined && level.silent.size === 0 && level.spoken.size === 0;
}

function first<T>(set: Set<T> | undefined): T | undefined {
  return set?.values().next().value;
}
