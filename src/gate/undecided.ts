// SPDX-License-Identifier: Apache-2.0
// The connections that are not judged yet, and which of them makes room when the gate is full: one of the
// source that holds most of them, one that has been silent for a while rather than one that spoke, the oldest first.
// So a flood from few sources pays for itself, and a slow friend stays. One that has just come is not silent yet: on a
// long way the first packet takes its time, and many who send a byte each would else push it out. Every step takes the
// same time however many there are, but for `grow`, which looks at those that have just come.
import { Chain, type Chained } from "../core/chain.ts";
import { type Newcomer, Newcomers } from "./newcomers.ts";

/** A connection; in one of the chains of its source. */
export interface Waiting<T extends Waiting<T>> extends Chained<T>, Newcomer {
  source: Source<T> | undefined;
}

/**
 * Who has connections, in a chain of others while one of them is undecided: the chain of those that have sent
 * something, or have just come.
 */
export class Source<T extends Waiting<T>> extends Chain<T> implements Chained<Source<T>> {
  chain: Chain<Source<T>> | undefined;
  previous: Source<T> | undefined;
  next: Source<T> | undefined;
  readonly text: string;
  /** The others. Undefined until there is one, as with nearly all. */
  silent: Chain<T> | undefined;

  constructor(text: string) {
    super();
    this.text = text;
  }

  get undecided(): number {
    return (this.silent?.size ?? 0) + this.size;
  }
}

/** Sources that hold the same number of undecided connections, each kind in the order of coming to it. */
class Level<T extends Waiting<T>> {
  /** At least one of their connections is silent. */
  readonly silent = new Chain<Source<T>>();
  readonly excused = new Chain<Source<T>>();
}

export class Undecided<T extends Waiting<T>> {
  /** By how many connections a source has, from 1, to the most that one has. */
  readonly #levels: Level<T>[] = [new Level()];
  #size = 0;
  /** Those that have sent nothing yet. */
  readonly #newcomers = new Newcomers<T>();

  get size(): number {
    return this.#size;
  }

  add(source: Source<T>, item: T): void {
    item.source = source;
    source.append(item);
    this.#newcomers.add(item);
    this.#size++;
    this.#place(source);
  }

  /** It has sent something, and is undecided still. */
  spoke(item: T): void {
    this.#newcomers.remove(item);
    const { source } = item;
    if (source === undefined || item.chain === undefined || item.chain !== source.silent) return;
    item.chain.remove(item);
    source.append(item);
    this.#place(source);
  }

  /** @returns false when it is not among them. */
  remove(item: T): boolean {
    const { source, chain } = item;
    if (source === undefined || chain === undefined) return false;
    if (chain !== source.silent && chain !== source) return false;
    this.#newcomers.remove(item);
    chain.remove(item);
    this.#size--;
    this.#place(source);
    // A source went down by one, so no more than one level is empty now.
    const top = this.#levels.at(-1);
    if (this.#levels.length > 1 && top?.silent.size === 0 && top.excused.size === 0) this.#levels.pop();
    return true;
  }

  /** Time goes by: at the second call from its coming one that has sent nothing is silent. */
  grow(): void {
    for (const item of this.#newcomers.grown()) {
      const { source } = item;
      if (source === undefined) continue;
      source.remove(item);
      source.silent ??= new Chain<T>();
      source.silent.append(item);
      this.#place(source);
    }
  }

  /** Who makes room. */
  victim(): T | undefined {
    const top = this.#levels.at(-1);
    const source = top?.silent.first ?? top?.excused.first;
    return source?.silent?.first ?? source?.first;
  }

  /** To the end of the level that is its own now. */
  #place(source: Source<T>): void {
    const { undecided } = source;
    source.chain?.remove(source);
    if (undecided === 0) {
      source.silent = undefined;
      return;
    }
    if (this.#levels.length < undecided) this.#levels.push(new Level());
    const level = this.#levels[undecided - 1];
    (source.silent !== undefined && source.silent.size > 0 ? level?.silent : level?.excused)?.append(source);
  }
}
