// SPDX-License-Identifier: Apache-2.0
// What a command sees of the process that runs it. Only main.ts makes the real one; a test makes its own,
// and needs no process.
import type { Readable } from "node:stream";
import type { Terminal } from "../host/terminal.ts";

export interface Output {
  /** A terminal of a person who wants colour: https://no-color.org. */
  readonly isColoured?: boolean;
  /** Writes the text and a newline. Returns when the reader has taken it: exit may follow at once. */
  line(text: string): void;
}

export interface ErrorOutput extends Output {
  /** Shows the text in place of what was shown before; only there on a terminal. */
  readonly progress?: (text: string) => void;
}

export interface Env {
  readonly stdout: Output;
  readonly stderr: ErrorOutput;
  /** Standard input, opened when it is asked for. */
  stdin(): Readable;
  /** Undefined where nobody sits in front of standard input and output both. */
  readonly terminal?: () => Promise<Terminal | undefined>;
  /** Environment variables. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** The JavaScript runtime and its version, `bun 1.4.5`. */
  readonly runtime: string;
  /** Where the bpf file system is mounted. */
  readonly bpffs: string;
  /** Where running daemons have a file each. */
  readonly runDirectory: string;
  /** Wall clock, Unix time. */
  nowMs(): number;
}
