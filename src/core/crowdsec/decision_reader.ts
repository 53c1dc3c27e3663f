// SPDX-License-Identifier: Apache-2.0
// Takes an answer of CrowdSec's decision stream apart while it comes, `{"deleted": [{…}, …], "new": null}`: a list of
// tens of thousands is neither held nor parsed in one go. Pure.

/** A decision has some 200 characters; its reason is free text. What is longer is an item without text. */
const longestItem = 65_536;
const longestKey = 64;

const quote = 0x22;
const backslash = 0x5c;
const brace = 0x7b;
const letterN = 0x6e;
const openers = new Set([brace, 0x5b]);
const closers = new Set([0x7d, 0x5d]);
const blanks = new Set([0x20, 0x0a, 0x0d, 0x09]);

/** Depth inside an item: the answer, its list, the item. */
const itemDepth = 3;

export interface StreamItem {
  /** The key of the list that it stands in. */
  readonly list: string;
  /** JSON. */
  readonly text: string;
}

export class DecisionReader {
  readonly #lists = new Set<string>();
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #isBegun = false;
  #key = "";
  /** Of an item that goes on in the next chunk. */
  #held = "";
  #isTooLong = false;

  /** @throws Error when it is no such answer. */
  *read(chunk: string): Generator<StreamItem, void, void> {
    let start = 0;
    for (let index = 0; index < chunk.length; index++) {
      const code = chunk.charCodeAt(index);
      if (this.#isInString) this.#goOnInString(code);
      else if (code === quote) this.#beginString();
      else if (openers.has(code)) {
        this.#open(code);
        if (this.#depth === itemDepth) start = index;
      } else if (closers.has(code)) {
        if (--this.#depth !== itemDepth - 1) continue;
        this.#hold(chunk.slice(start, index + 1));
        yield { list: this.#key, text: this.#release() };
      } else if (!blanks.has(code)) this.#other(code);
    }
    if (this.#depth >= itemDepth) this.#hold(chunk.slice(start));
  }

  /** @throws Error when it was not whole. */
  end(): void {
    if (!this.#isBegun || !this.#lists.has("new") || !this.#lists.has("deleted")) throw new Error(noStream);
    if (this.#depth !== 0) throw new Error("its answer ends too soon");
  }

  #hold(text: string): void {
    this.#isTooLong ||= this.#held.length + text.length > longestItem;
    this.#held = this.#isTooLong ? "" : this.#held + text;
  }

  /** The item that is over. */
  #release(): string {
    const text = this.#held;
    this.#held = "";
    this.#isTooLong = false;
    return text;
  }

  #beginString(): void {
    this.#isInString = true;
    if (this.#depth === 1) this.#key = "";
  }

  #goOnInString(code: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (code === backslash) this.#isEscaped = true;
    else if (code === quote) this.#isInString = false;
    else if (this.#depth === 1 && this.#key.length < longestKey) this.#key += String.fromCharCode(code);
  }

  #open(code: number): void {
    this.#depth++;
    if (this.#depth === 2) this.#lists.add(this.#key);
    if (this.#depth > 1) return;
    if (this.#isBegun || code !== brace) throw new Error(noStream);
    this.#isBegun = true;
  }

  #other(code: number): void {
    if (this.#depth === 0) throw new Error(noStream);
    // A list that is null.
    if (this.#depth === 1 && code === letterN) this.#lists.add(this.#key);
  }
}

const noStream = "its answer is no stream of decisions";
