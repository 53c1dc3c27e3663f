// SPDX-License-Identifier: Apache-2.0
// Which of the bytes that never changed belong to the protocol, and which may be a client's own: what stands
// behind a key, and the common beginning of names.
import type { Constant } from "./fields.ts";
import { isDelimiter, isText } from "./formats.ts";
import type { Recording } from "./recording.ts";

/** Fewer letters in a row may be numbers. */
const tellingText = 3;

/**
 * @param isVaried what is the same is so for many sources.
 * @returns the constants without what may be a client's own.
 */
export function keysOf(constants: readonly Constant[], samples: readonly Recording[], isVaried: boolean): Constant[] {
  return constants.flatMap(({ at, bytes }) => {
    const isKept = bytes.map(() => true);
    for (const { from, to } of textsIn(bytes)) {
      const kept = keyIn(bytes.slice(from, to), at + from, samples, isVaried);
      isKept.fill(false, from + kept, to);
    }
    return runsOf(at, bytes, isKept);
  });
}

/** Where text stands among the bytes. */
function textsIn(bytes: readonly number[]): { readonly from: number; readonly to: number }[] {
  const texts: { from: number; to: number }[] = [];
  for (const [index, byte] of bytes.entries()) {
    const last = texts.at(-1);
    if (!isText(byte)) continue;
    if (last?.to === index) last.to++;
    else texts.push({ from: index, to: index + 1 });
  }
  return texts.filter(({ from, to }) => to - from >= tellingText);
}

/** @returns how many of the text's bytes are a key, with what ends it. */
function keyIn(text: readonly number[], at: number, samples: readonly Recording[], isVaried: boolean): number {
  const delimiter = text.findIndex(isDelimiter);
  if (delimiter >= 0) return delimiter + 1;
  const end = at + text.length;
  // Names that begin alike: the rest of them is text, too.
  const isVarying = new Set(samples.map(({ bytes }) => bytes[end])).size > 1;
  if (isVarying && samples.every(({ bytes }) => isText(bytes[end]))) return 0;
  // A protocol's name stands at the beginning; elsewhere it takes many sources to tell it from a client's.
  return at === 0 || isVaried ? text.length : 0;
}

function runsOf(at: number, bytes: readonly number[], isKept: readonly boolean[]): Constant[] {
  const runs: { at: number; bytes: number[] }[] = [];
  for (const [index, byte] of bytes.entries()) {
    if (isKept[index] !== true) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.at + last.bytes.length === at + index) last.bytes.push(byte);
    else runs.push({ at: at + index, bytes: [byte] });
  }
  return runs;
}
