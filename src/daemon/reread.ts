// SPDX-License-Identifier: Apache-2.0
// Keys and passwords in files, which are changed while ttgate runs.
import { messageOf } from "../failure.ts";

/** What cannot be read again stays as it was: it is just being written, or the user that ttgate changed to may not. */
export class Reread<T> {
  readonly #read: () => T;
  readonly #check: (now: T, before: T) => void;
  #last: T;
  #failure: string | undefined;

  /**
   * @param check throws Failure where what was read may not take the place of what was read before.
   * @throws Failure when it cannot be read at first.
   */
  constructor(read: () => T, check: (now: T, before: T) => void = () => {}) {
    this.#read = read;
    this.#check = check;
    this.#last = read();
  }

  now(): T {
    try {
      const read = this.#read();
      this.#check(read, this.#last);
      this.#last = read;
      this.#failure = undefined;
    } catch (error) {
      this.#failure = messageOf(error);
    }
    return this.#last;
  }

  /** Why the last time it could not. */
  get failure(): string | undefined {
    return this.#failure;
  }
}
