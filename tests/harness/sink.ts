// SPDX-License-Identifier: Apache-2.0
// A server that tells every byte it gets (sink.c), in a network namespace.
import { Child } from "./child.ts";
import { compileC } from "./raw_tcp.ts";
import { TempDir } from "./temp_dir.ts";
import { waitFor } from "./wait.ts";

/** "greet": the server speaks first, `greetingBytes` of them. */
export type SinkWord = "fastopen" | "defer" | "mptcp" | "greet";
export const greetingBytes = "SSH-2.0-sink\r\n".length;

export class Sink implements AsyncDisposable {
  readonly #child: Child;
  readonly #directory: TempDir;

  private constructor(namespace: string, words: readonly string[]) {
    this.#directory = new TempDir();
    this.#child = new Child([compileC("sink", this.#directory), "5000", ...words], { namespace });
  }

  static async start(namespace: string, ...words: readonly SinkWord[]): Promise<Sink> {
    const sink = new Sink(namespace, words);
    await sink.#child.said(/^ready\n/);
    return sink;
  }

  /** What became of a connection, by "ADDRESS PORT". */
  of(name: string): { readonly opened: number; readonly data: string; readonly end: string | undefined } {
    const lines = this.lines().filter((line) => line.split(" ").slice(1, 3).join(" ") === name);
    const last = (word: string) =>
      lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.split(" ")[3]);
    return { opened: last("open").length, data: last("data").join(""), end: last("end").at(-1) };
  }

  lines(): string[] {
    return this.#child.stdout.split("\n").slice(1, -1);
  }

  /** Waits for bytes of a connection; the server has no others of it. */
  async got(name: string, bytes: Uint8Array): Promise<void> {
    await waitFor(`${bytes.length} bytes of ${name} at the server`, () => this.of(name).data === bytes.toHex());
  }

  async ended(name: string): Promise<string> {
    return waitFor(`the end of ${name} at the server`, () => this.of(name).end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}
