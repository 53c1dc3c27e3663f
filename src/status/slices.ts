// SPDX-License-Identifier: Apache-2.0
// Long answers are put together piece by piece, one piece of all of them in each turn of the event loop, so
// that the relay waits for one piece and no longer, however many ask.
import { setImmediate } from "node:timers";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Work } from "../core/work.ts";

interface Job {
  /** True when it is over. */
  step(): boolean;
}

/** More at a time wait for so long that whoever asked has given up. */
const jobsLimit = 64;

export class Slices {
  readonly #jobs: Job[] = [];
  #isRunning = false;
  readonly #waiting: (() => void)[] = [];
  #isTurnTaken = false;

  /** False: too many are at work already. */
  get hasRoom(): boolean {
    return this.#jobs.length < jobsLimit;
  }

  /** Waits until nobody else has begun an answer in this turn of the event loop: they are read by the hundred at once. */
  async turn(): Promise<void> {
    if (this.#isTurnTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#isTurnTaken = true;
    setImmediate(() => this.#nextTurn());
  }

  #nextTurn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#isTurnTaken = false;
    else next();
  }

  /** Short work is done at once, where no other is under way. */
  run<T>(work: Work<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          const { done, value } = work.next();
          if (done === true) resolve(value);
          return done === true;
        } catch (error) {
          reject(error);
          return true;
        }
      };
      if (!this.#isRunning && step()) return;
      this.#jobs.push({ step });
      void this.#drive();
    });
  }

  /** A text, each piece made when the reader asks for it. */
  stream(texts: Generator<string, void, void>): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    function* next(): Work<IteratorResult<string, void>> {
      yield;
      return texts.next();
    }
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const { done, value } = await this.run(next());
          if (done === true) controller.close();
          else controller.enqueue(encoder.encode(value));
        },
        cancel: () => void texts.return(),
      },
      { highWaterMark: 0 },
    );
  }

  async #drive(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#jobs.length > 0) {
      await nextTurn();
      const job = this.#jobs.shift();
      if (job !== undefined && !job.step()) this.#jobs.push(job);
    }
    this.#isRunning = false;
  }
}
