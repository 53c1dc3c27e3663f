// SPDX-License-Identifier: Apache-2.0
// Reads recordings, line by line and in bounded memory however long the file or a line of it is. A line
// that is no recording is told with its number; all others count.
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { parseRecording, type Recording, recordedBytes } from "../core/learn/recording.ts";
import { codeOf, Failure, messageOf } from "../failure.ts";

export type RecordedLine =
  | { readonly kind: "recording"; readonly line: number; readonly recording: Recording }
  | { readonly kind: "invalid"; readonly line: number; readonly message: string };

/** Two digits a byte, and the rest of the object. */
const lineLimitCharacters = recordedBytes * 2 + 1024;

/**
 * @param file a path, or - for standard input.
 * @param stdin asked for only then.
 * @throws Failure when it cannot be read.
 */
export async function* readRecordings(file: string, stdin: () => Readable): AsyncGenerator<RecordedLine> {
  let number = 0;
  for await (const line of linesOf(file, stdin)) {
    number++;
    if (line.length > lineLimitCharacters) {
      const message = `It is longer than ${lineLimitCharacters} characters, which no recording is`;
      yield { kind: "invalid", line: number, message };
    } else if (line.trim() !== "") {
      yield { line: number, ...parseRecording(line) };
    }
  }
}

/** Of a line that is too long only so much that this shows. */
async function* linesOf(file: string, stdin: () => Readable): AsyncGenerator<string> {
  const input = file === "-" ? stdin() : createReadStream(file);
  input.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of input as AsyncIterable<string>) {
      const parts = chunk.split("\n");
      for (const [index, part] of parts.entries()) {
        if (rest.length <= lineLimitCharacters) rest += part;
        if (index === parts.length - 1) break;
        yield rest;
        rest = "";
      }
    }
  } catch (cause) {
    if (codeOf(cause) === undefined) throw cause;
    const remedy = "check the path and its permissions";
    throw new Failure(`Read recording "${file}": ${messageOf(cause)}; ${remedy}`, { exitCode: 3, cause });
  }
  if (rest !== "") yield rest;
}
