// SPDX-License-Identifier: Apache-2.0
// Sentences that hold for a while, such as notes of /readyz: each goes to the log once, when it begins to hold, and
// another one when none holds any more.
import type { Log } from "../log.ts";

export class Told {
  readonly #over: string;
  readonly #level: "error" | "warn";
  readonly #log: Log;
  texts: readonly string[] = [];

  /** @param over is said when none holds any more. */
  constructor(over: string, level: "error" | "warn", log: Log) {
    this.#over = over;
    this.#level = level;
    this.#log = log;
  }

  hold(texts: readonly string[]): void {
    const before = this.texts;
    this.texts = texts;
    for (const text of texts) if (!before.includes(text)) this.#log(this.#level, text);
    if (texts.length === 0 && before.length > 0) this.#log("info", this.#over);
  }
}
