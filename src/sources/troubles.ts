// SPDX-License-Identifier: Apache-2.0
// What is wrong with a source of bans at the moment, told in the log when it begins and when it is over, and not
// again in between.
import type { Log } from "../log.ts";

export class Troubles {
  protected readonly log: Log;
  readonly #current = new Map<string, string>();

  constructor(log: Log) {
    this.log = log;
  }

  told(): readonly string[] {
    return [...this.#current.values()];
  }

  has(kind: string): boolean {
    return this.#current.has(kind);
  }

  /** @param isTold whether it is news; by itself, what was not so before. */
  set(kind: string, text: string, isTold = !this.#current.has(kind)): void {
    if (isTold) this.log("warn", `${text}; bans stay as they are`);
    this.#current.set(kind, text);
  }

  /** @param text said where it was wrong before. */
  clear(kind: string, text?: string): void {
    if (this.#current.delete(kind) && text !== undefined) this.log("info", text);
  }
}
