// SPDX-License-Identifier: Apache-2.0
// The streams of stream_main.ts as processes in a network namespace.
import { join } from "node:path";
import process from "node:process";
import { Child } from "./child.ts";

const script = join(import.meta.dirname, "stream_main.ts");

export interface Received {
  /** By source address. */
  readonly datagrams: Readonly<Record<string, number>>;
  readonly connections: Readonly<Record<string, number>>;
}

export interface Sent {
  /** Datagrams. */
  readonly sent: number;
  /** Of TCP connections, in the words of probe.ts. */
  readonly outcomes: Readonly<Record<string, number>>;
}

export class Stream<R> implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start<R>(namespace: string, args: readonly string[]): Promise<Stream<R>> {
    const stream = new Stream<R>(new Child([process.execPath, script, ...args], { namespace }));
    await stream.#child.said(/"ready":true/);
    return stream;
  }

  /** Ends it. @returns what it counted. */
  async stop(): Promise<R> {
    const { stdout, stderr } = await this.#child.stop();
    const last = stdout.trim().split("\n").at(-1) ?? "";
    if (last.includes("ready")) throw new Error(`A stream ended without a word: ${stderr}`);
    return JSON.parse(last) as R;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}

export function listenForStreams(namespace: string, host: string, port: number): Promise<Stream<Received>> {
  return Stream.start(namespace, ["listen", "--host", host, "--port", String(port)]);
}

export function sendStream(namespace: string, from: string, host: string, port: number): Promise<Stream<Sent>> {
  return Stream.start(namespace, ["send", "--from", from, "--host", host, "--port", String(port)]);
}
