// SPDX-License-Identifier: Apache-2.0
// A rule taken apart, in words for people.
import { byteClassNames, byteSetOfClass } from "./class.ts";
import type { Alternative, Term, Test } from "./term.ts";

/** `bytes 47 45 54 20 "GET " at 0 and ...`, in the order in which they are tested. */
export function wordsOf(alternative: Alternative): string {
  return alternative.map(termWords).join(" and ");
}

function termWords(term: Term): string {
  const words = testWords(term.test);
  const isPlaced = term.test.kind !== "length" && term.test.kind !== "blocks" && term.test.kind !== "probe";
  const place = term.relative ? ` ${term.at === 0 ? "right" : `${term.at} bytes`} after that` : ` at ${term.at}`;
  return `${term.negated ? "not " : ""}${words}${isPlaced ? place : ""}`;
}

function testWords(test: Test): string {
  switch (test.kind) {
    case "bytes":
      return `bytes ${bytesWords(test.value, test.mask)}`;
    case "run": {
      const name = setWords(test.set);
      return test.until === undefined
        ? `${test.min} bytes of ${name}`
        : `${test.min} to ${test.max} bytes of ${name} up to ${setWords(test.until)}`;
    }
    case "rest":
      return `${test.min} to ${test.max} bytes of ${setWords(test.set)} and then nothing more`;
    case "number":
      return numberWords(test);
    case "length":
      return Number.isFinite(test.max)
        ? `${test.min} to ${test.max} bytes in all`
        : `at least ${test.min} bytes in all`;
    case "blocks":
      return `whole blocks of ${test.size} bytes after the first ${test.after}`;
    case "probe":
      return test.probe.words;
  }
}

function numberWords(test: Test & { kind: "number" }): string {
  const bits = `${test.size * 8}-bit${test.size === 1 ? "" : test.little ? " little-endian" : " big-endian"} number`;
  const range = test.min === test.max ? `${test.min}` : `${test.min} to ${test.max}`;
  if (test.length === "free") return `${bits} ${range}`;
  const sum = test.plus === 0 ? "it" : `it and ${test.plus}`;
  return `${bits} ${range}, ${sum} ${test.length === "equals" ? "being the length" : "bytes being there"},`;
}

/** Hexadecimal with `??` and masks; text in quotes where it is printable. */
function bytesWords(value: Uint8Array, mask: Uint8Array): string {
  const cells = Array.from(value, (byte, index) => {
    const bits = mask[index] ?? 0;
    if (bits === 0) return "??";
    return bits === 0xff ? hexOf(byte) : `${hexOf(byte)}/${hexOf(bits)}`;
  });
  const isText = value.every((byte, index) => byte >= 0x20 && byte <= 0x7e && ((mask[index] ?? 0) | 0x20) === 0xff);
  return `${cells.join(" ")}${isText ? ` (${JSON.stringify(String.fromCharCode(...value))})` : ""}`;
}

function setWords(set: Uint8Array): string {
  const name = byteClassNames.find((candidate) => byteSetOfClass(candidate).every((cell, byte) => cell === set[byte]));
  if (name !== undefined) return name;
  const near = byteClassNames.findLast((candidate) =>
    byteSetOfClass(candidate).every((cell, byte) => cell <= (set[byte] ?? 0)),
  );
  const base = near === undefined ? new Uint8Array(256) : byteSetOfClass(near);
  const rest = Array.from(set.keys()).filter((byte) => set[byte] === 1 && base[byte] === 0);
  const bytes = rest.map(hexOf).join(" ");
  return near === undefined ? bytes : `${near} or ${bytes}`;
}

function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
