// SPDX-License-Identifier: Apache-2.0
// The vectors: what clients of each protocol send first. One list for every engine that judges.
import { readdirSync, readFileSync } from "node:fs";

export interface Vector {
  /** The recogniser that must know it. */
  readonly protocol: string;
  readonly name: string;
  /** A specification, or the command of the real client. */
  readonly source: string;
  readonly bytes: Uint8Array;
  /** Known only when the client falls silent after it. */
  readonly ended: boolean;
}

interface VectorSource {
  readonly protocol: string;
  readonly name: string;
  readonly source: string;
  readonly text?: string;
  readonly hex?: string;
  readonly ended?: boolean;
}

export function loadVectors(): Vector[] {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".json"));
  return files.sort().flatMap((file) => {
    const sources: VectorSource[] = JSON.parse(readFileSync(`${import.meta.dirname}/${file}`, "utf8"));
    return sources.map(({ text, hex, ended, ...rest }) => ({
      ...rest,
      ended: ended === true,
      bytes: bytesOf(text, hex),
    }));
  });
}

/** Text stands for one byte a character. */
export function bytesOf(text: string | undefined, hex: string | undefined): Uint8Array {
  if (text !== undefined) return Uint8Array.from(text, (character) => character.charCodeAt(0));
  return Uint8Array.from((hex ?? "").match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
