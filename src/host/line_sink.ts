// SPDX-License-Identifier: Apache-2.0
// Lines on their way to somewhere whose reader may have stopped, gone, or have no room: nobody waits for it, and
// what waits is bounded. Lines that could not be written are counted, and the number is told when one can be again.
import { setTimeout } from "node:timers/promises";
import { put, type WriteSome } from "./write_all.ts";

/** Some ten thousand lines. */
const waitingLimit = 1024 * 1024;

export class LineSink {
  readonly #writeSome: WriteSome;
  readonly #lostLines: (count: number) => void;
  #waiting: string[] = [];
  #waitingLength = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  /**
   * @param lostLines told how many lines were lost, when lines can be written again.
   */
  constructor(writeSome: WriteSome, lostLines: (count: number) => void) {
    this.#writeSome = writeSome;
    this.#lostLines = lostLines;
  }

  write(line: string): void {
    // One line more, so that none is too long by itself.
    if (this.#waitingLength >= waitingLimit) {
      this.#lost++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#writing ??= this.#writeAll();
  }

  /** Waits until everything is written, at most so long. */
  async flush(limitMs: number): Promise<void> {
    const isLate = new AbortController();
    await Promise.race([this.#writing, setTimeout(limitMs, undefined, { signal: isLate.signal }).catch(() => {})]);
    isLate.abort();
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingLength = 0;
      try {
        await put(new TextEncoder().encode(lines.join("")), this.#writeSome);
      } catch {
        this.#lost += lines.length;
        continue;
      }
      // Not while there is no room for the line that tells it.
      if (this.#lost === 0 || this.#waitingLength >= waitingLimit) continue;
      const lost = this.#lost;
      this.#lost = 0;
      this.#lostLines(lost);
    }
    this.#writing = undefined;
  }
}
