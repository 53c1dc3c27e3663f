// SPDX-License-Identifier: Apache-2.0
// Lines to a descriptor of this process, whole and at once: exit may follow. Not console and not
// process.stdout: the one keeps errors to itself, and what the other holds when the process exits is lost.
import { codeOf, Failure, messageOf } from "../failure.ts";
import { writeAll } from "../host/write_all.ts";

/** The reader closed its end, as head does when it has enough: nobody is left to be told anything. */
export class ReaderGone extends Error {}

/** @throws ReaderGone, or Failure when it cannot be written, to a full disk for instance. */
export function writeStandardOutput(text: string): void {
  try {
    writeAll(1, `${text}\n`);
  } catch (cause) {
    if (codeOf(cause) === "EPIPE") throw new ReaderGone("Standard output is closed", { cause });
    throw new Failure(`Cannot write to standard output: ${messageOf(cause)}`, { exitCode: 3, cause });
  }
}

/** What cannot be written is lost: there is no place left to say so. */
export function writeStandardError(text: string): void {
  try {
    writeAll(2, `${text}\n`);
  } catch {
    // As above.
  }
}
