// SPDX-License-Identifier: Apache-2.0
// One answer for all who ask within a moment. It is always made after the last of them asked: nobody is told what
// was true before. Who asks first is answered at once; who asks in the moment after an answer was made waits for the
// next one. So a storm of questions waits for itself, and the relay does not wait for it.
import { setImmediate } from "node:timers/promises";

/** Who waited for the same answer gets it so many at a time, with a turn of the event loop in between. */
const answeredAtOnce = 16;

export class Shared<T> {
  readonly #make: () => T | Promise<T>;
  readonly #restMs: number;
  #waiting: ((answer: T | Promise<T>) => void)[] = [];
  #isResting = false;

  /** @param restMs between two answers, and the longest that anybody waits until the making begins. */
  constructor(restMs: number, make: () => T | Promise<T>) {
    this.#restMs = restMs;
    this.#make = make;
  }

  /** Rejects with what `make` threw. */
  ask(): Promise<T> {
    return new Promise((resolve) => {
      if (this.#isResting) {
        this.#waiting.push(resolve);
        return;
      }
      this.#rest();
      resolve(this.#make());
    });
  }

  #rest(): void {
    this.#isResting = true;
    setTimeout(() => void this.#goOn(), this.#restMs);
  }

  async #goOn(): Promise<void> {
    this.#isResting = false;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const answer = this.ask();
    for (let start = 0; start < waiting.length; start += answeredAtOnce) {
      if (start > 0) await setImmediate();
      for (const resolve of waiting.slice(start, start + answeredAtOnce)) resolve(answer);
    }
  }
}
