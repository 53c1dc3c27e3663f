// SPDX-License-Identifier: Apache-2.0
// What ordinary clients, libraries and health checkers of each built-in profile send first, each with its
// source: none of it may ever be foreign. One file for each profile in conformance/.
import { readdirSync, readFileSync } from "node:fs";
import { bytesOf } from "./vectors.ts";

export interface FirstMessage {
  readonly profile: string;
  readonly name: string;
  /** A specification with its section, or the program. */
  readonly source: string;
  readonly bytes: Uint8Array;
}

interface MessageSource {
  readonly name: string;
  readonly source: string;
  readonly text?: string;
  readonly hex?: string;
}

export function loadFirstMessages(): FirstMessage[] {
  const directory = `${import.meta.dirname}/conformance`;
  return readdirSync(directory)
    .sort()
    .flatMap((file) => {
      const sources: MessageSource[] = JSON.parse(readFileSync(`${directory}/${file}`, "utf8"));
      return sources.map(({ name, source, text, hex }) => ({
        profile: file.replace(/\.json$/, ""),
        name,
        source,
        bytes: bytesOf(text, hex),
      }));
    });
}
