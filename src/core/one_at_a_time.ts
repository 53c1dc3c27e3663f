// SPDX-License-Identifier: Apache-2.0
// Work that is done again and again, and never twice at once, such as writing a file.

export class OneAtATime<Args extends readonly unknown[] = []> {
  readonly #work: (...args: Args) => Promise<void>;
  #running: Promise<void> | undefined;

  constructor(work: (...args: Args) => Promise<void>) {
    this.#work = work;
  }

  /** Does it, or joins the run that goes on. */
  run(...args: Args): Promise<void> {
    this.#running ??= this.#work(...args).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Does it in a run that begins after this was asked for. */
  async runAnew(...args: Args): Promise<void> {
    // What goes on may have begun before.
    await this.#running;
    await this.run(...args);
  }

  /** What goes on is over. */
  async idle(): Promise<void> {
    await this.#running;
  }
}
