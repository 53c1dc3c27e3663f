// SPDX-License-Identifier: Apache-2.0
// A program on a pseudo terminal of its own: keys go in, what it draws comes out.
import { readFileSync } from "node:fs";
import process from "node:process";
import { waitFor } from "./wait.ts";

export class Pty implements AsyncDisposable {
  /** All that was written to the terminal. */
  written = "";
  readonly #child: Bun.Subprocess;

  constructor(argv: readonly string[], columns = 80, rows = 24, env: Readonly<Record<string, string>> = {}) {
    const decoder = new TextDecoder();
    const data = (_: unknown, bytes: Uint8Array) => {
      this.written += decoder.decode(bytes, { stream: true });
    };
    this.#child = Bun.spawn([...argv], {
      env: { ...process.env, TERM: "xterm", ...env },
      terminal: { cols: columns, rows, data },
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The program that it started and waits for. */
  grandchild(): number {
    return Number(readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8").trim().split(" ")[0]);
  }

  async exitCode(): Promise<number | null> {
    await this.#child.exited;
    return this.#child.exitCode;
  }

  type(text: string): void {
    this.#child.terminal?.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#child.terminal?.resize(columns, rows);
  }

  /** The last whole frame, line by line, without colours. */
  get screen(): string[] {
    const frame = this.written.split("\u001b[H").findLast((part) => part.includes("\u001b[J")) ?? "";
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what is taken off are control sequences.
    return frame.split(/\r+\n/).map((line) => line.replace(/\u001b\[\??[0-9;]*[a-zA-Z]/g, ""));
  }

  /** Waits until the screen is as wanted. */
  shows(what: string, wanted: (lines: readonly string[]) => boolean): Promise<string[]> {
    return waitFor(what, () => wanted(this.screen) && this.screen);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#child.terminal?.close();
  }
}
