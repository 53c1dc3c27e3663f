// SPDX-License-Identifier: Apache-2.0
// How what follows a header is laid out, where it is one of the usual ways: pairs that end with zero bytes, lines
// of text, a chain of tag, length and value, or a string behind its length. What stands in such a place is a
// client's own (a user, a database, a topic), however often it was the same, and so makes no constant.

import type { Rule } from "../signature/signature.ts";
import { headerLimitBytes, lengthRules, numberAt, shortestOf } from "./fields.ts";
import type { Recording } from "./recording.ts";

export interface Format {
  /** Of a finding: what it is. */
  readonly words: string;
  /** From here on bytes are values. */
  readonly valuesAt: number;
  /** What is said of the values, besides the constants before them. */
  readonly rules: readonly Rule[];
  readonly first?: FirstWords;
}

export interface FirstWords {
  readonly at: number;
  /** Those that were seen, each with what ends it. */
  readonly texts: readonly string[];
  /** There was one only, which is all there is. */
  readonly isSure: boolean;
  /** One that a digit ends: the common part of clients' names looks like that, too. */
  readonly cut?: string | undefined;
}

/** A key or a command is one word. */
const longestKey = 64;
const longestValue = 1024;
/** More first words than this are no list of commands. */
const mostCommands = 32;
const delimiters = " =:,;|\t\0\r\n";

export function isText(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x20 && byte !== 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}

export function isDelimiter(byte: number): boolean {
  return delimiters.includes(String.fromCharCode(byte));
}

/** @param isVaried what is the same is so for many sources. */
export function formatOf(samples: readonly Recording[], isVaried: boolean): Format | undefined {
  return pairsOf(samples) ?? linesOf(samples) ?? chainOf(samples) ?? stringOf(samples, isVaried);
}

/** Names and values in turn, each ended by a zero byte, as in PostgreSQL's start-up message. */
function pairsOf(samples: readonly Recording[]): Format | undefined {
  const limit = Math.min(headerLimitBytes, shortestOf(samples) - 4);
  const most = mostKnown(samples);
  const starts = Array.from({ length: Math.max(0, limit) }, (_, at) => at)
    .filter((at) => samples.every(({ bytes }) => isPairs(bytes.subarray(at))))
    .map((at) => ({ at, keys: new Set(samples.map(({ bytes }) => wordAt(bytes, at))) }))
    // A byte of the header before them may be a letter by chance: then the first names differ more.
    .sort((left, right) => left.keys.size - right.keys.size || left.at - right.at);
  const [first] = starts;
  if (first === undefined || first.keys.size > most) return undefined;
  const { at, keys } = first;
  const names = [...keys].sort();
  return {
    words: `From byte ${at} on there are names and values that zero bytes end; first names: ${names.join(", ")}`,
    valuesAt: at,
    first: { at, texts: names.map((name) => `${name}\0`), isSure: names.length === 1 },
    rules: [
      { kind: "run", at, class: "visible", min: 1, max: longestKey, until: "00" },
      { kind: "run", after: true, class: "nonzero", min: 0, max: longestValue, until: "00" },
    ],
  };
}

/** Names come from a small list, values do not. */
function mostKnown(samples: readonly Recording[]): number {
  return Math.max(2, Math.ceil(samples.length / 6));
}

function isPairs(bytes: Uint8Array): boolean {
  if (bytes.at(-1) !== 0 || !isVisible(bytes[0])) return false;
  if (!bytes.every((byte) => byte === 0 || isText(byte))) return false;
  const words = split(bytes);
  if (words.length < 2 || words.length % 2 === 1) return false;
  const keys = words.filter((_, index) => index % 2 === 0);
  // Letters with a zero each are text in UTF-16.
  return keys.every(isKey) && keys.some((key) => key.length > 1);
}

/** The last value's zero byte may be followed by one that ends the list. */
function split(bytes: Uint8Array): string[] {
  const words = latin(bytes).split("\0");
  words.pop();
  if (words.length % 2 === 1 && words.at(-1) === "") words.pop();
  return words;
}

function isKey(word: string): boolean {
  return word.length > 0 && word.length <= longestKey && /^[!-~]+$/.test(word);
}

function isVisible(byte: number | undefined): boolean {
  return byte !== undefined && byte > 0x20 && byte < 0x7f;
}

function wordAt(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  return latin(bytes.subarray(at, end < 0 ? bytes.length : end));
}

/** Text from the first byte on: a command and what it is about. */
function linesOf(samples: readonly Recording[]): Format | undefined {
  if (!samples.every(({ bytes }) => bytes.every(isText))) return undefined;
  const firsts = samples.map(({ bytes }) => commandOf(bytes));
  if (firsts.some((first) => first === undefined)) return undefined;
  const commands = [...new Set(firsts as string[])].sort();
  if (commands.length > Math.min(mostCommands, mostKnown(samples))) return undefined;
  const list = commands.map((command) => JSON.stringify(command.trimEnd())).join(", ");
  const cut = commands.find((command) => samples.some(({ bytes }) => isCut(command, bytes)));
  return {
    words: `They are lines of text that begin with ${list}; what follows may be any text`,
    valuesAt: 0,
    rules: [],
    first: { at: 0, texts: commands, isSure: commands.length === 1 && cut === undefined, cut },
    ...bracketOf(commands, 0),
  };
}

/** The packet begins with the word and goes on with a digit. */
function isCut(word: string, bytes: Uint8Array): boolean {
  const start = latin(bytes.subarray(0, longestKey + 1));
  return /\w-*$/.test(word) && start.startsWith(word) && /[0-9]/.test(start.charAt(word.length));
}

/**
 * The first word and the byte that ends it. A word ends where a digit begins, which may be a version's or a
 * date's. Of what begins with marks the marks are all, and of JSON and XML the first one: spaces, a key, or a
 * declaration may follow.
 */
function commandOf(bytes: Uint8Array): string | undefined {
  const start = latin(bytes.subarray(0, longestKey + 1));
  const word = /^(?:[A-Za-z][A-Za-z_-]+[^A-Za-z0-9]?|[{[<]|[!-/:-@[-`{-~]+)/.exec(start)?.[0];
  return word === undefined || word.length > longestKey ? undefined : word;
}

interface Chain {
  readonly at: number;
  readonly tagBytes: number;
  readonly lengthBytes: number;
  readonly endian: "big" | "little";
}

/** Tag, length and value again and again, up to the packet's end. */
function chainOf(samples: readonly Recording[]): Format | undefined {
  // Of packets of two sizes a chain may come out by chance.
  if (new Set(samples.map(({ totalBytes }) => totalBytes)).size < 3) return undefined;
  const whole = samples.filter(({ bytes, totalBytes }) => bytes.length === totalBytes);
  if (whole.length < samples.length) return undefined;
  for (let at = 0; at <= 16; at++) {
    for (const tagBytes of [1, 2]) {
      for (const lengthBytes of [1, 2, 4]) {
        for (const endian of ["big", "little"] as const) {
          const chain = { at, tagBytes, lengthBytes, endian };
          if (whole.every(({ bytes }) => links(bytes, chain) >= 2)) return chainFormat(chain, samples);
        }
      }
    }
  }
  return undefined;
}

/**
 * How many links with a value the chain has; 0 when it does not end with the packet. Zeros that begin a length of 32 bits
 * would be links without one.
 */
function links(bytes: Uint8Array, { at, tagBytes, lengthBytes, endian }: Chain): number {
  let count = 0;
  let next = at;
  while (next < bytes.length) {
    if (next + tagBytes + lengthBytes > bytes.length) return 0;
    const valueBytes = numberAt(bytes, next + tagBytes, lengthBytes, endian);
    next += tagBytes + lengthBytes + valueBytes;
    if (valueBytes > 0) count++;
  }
  return next === bytes.length ? count : 0;
}

function chainFormat({ at, tagBytes, lengthBytes, endian }: Chain, samples: readonly Recording[]): Format {
  const lengthAt = at + tagBytes;
  const greatest = Math.max(...samples.map(({ bytes }) => numberAt(bytes, lengthAt, lengthBytes, endian)));
  const bits = `${tagBytes * 8}-bit tag, ${lengthBytes * 8}-bit length${lengthBytes > 1 ? ` (${endian}-endian)` : ""}`;
  return {
    words: `From byte ${at} on there is a chain of ${bits} and value`,
    valuesAt: lengthAt,
    rules: roomFor(greatest, lengthAt, lengthBytes, endian),
  };
}

/** A string behind its length: the first that may be a client's own. */
function stringOf(samples: readonly Recording[], isVaried: boolean): Format | undefined {
  const limit = Math.min(headerLimitBytes, shortestOf(samples) - 1);
  for (let at = 0; at < limit; at++) {
    // Zeros behind a byte that moves are the upper part of its number, not of the length behind them.
    const isApart = at === 0 || new Set(samples.map(({ bytes }) => bytes[at - 1])).size === 1;
    for (const size of isApart ? [4, 2, 1] : [1]) {
      for (const endian of ["big", "little"] as const) {
        const found = stringAt(samples, isVaried, at, size, endian);
        if (found !== undefined) return found;
      }
    }
  }
  return undefined;
}

function stringAt(
  samples: readonly Recording[],
  isVaried: boolean,
  at: number,
  size: number,
  endian: "big" | "little",
): Format | undefined {
  const strings = samples.map(({ bytes }) => stringBehind(bytes, at, size, endian));
  if (strings.includes(undefined)) return undefined;
  // A protocol's name, where many sources say it and it is one word.
  if (isVaried && new Set(strings).size === 1 && /^[A-Za-z]+$/.test(strings[0] ?? "")) return undefined;
  const greatest = Math.max(...strings.map((string) => string?.length ?? 0));
  const bits = `${size * 8}-bit${size > 1 ? ` ${endian}-endian` : ""}`;
  const bracket = bracketOf(strings, at + size);
  const field = { at, size, endian, plus: at + size, greatest };
  return {
    words: `At byte ${at} there is a string behind its ${bits} length; up to ${greatest} bytes were seen`,
    valuesAt: at,
    // A document grows more than a name.
    rules: bracket.first === undefined ? roomFor(greatest, at, size, endian) : lengthRules(field),
    ...bracket,
  };
}

/** JSON and XML begin with a bracket, whatever the values: an array where an object was, too. */
function bracketOf(texts: readonly (string | undefined)[], at: number): Pick<Format, "first"> {
  const firsts = new Set(texts.map((text) => text?.[0] ?? ""));
  const [bracket = ""] = firsts;
  if (firsts.size > 1 || !brackets.has(bracket)) return {};
  return { first: { at, texts: bracket === "<" ? ["<"] : ["[", "{"], isSure: true } };
}

const brackets = new Set(["{", "[", "<"]);

/** Room for values four times as long as any that was seen; of a length of one byte any may come. */
function roomFor(greatest: number, at: number, size: number, endian: "big" | "little"): Rule[] {
  if (size === 1) return [];
  const max = Math.min(256 ** size - 1, Math.max(leastRoom, greatest * 4));
  return [{ kind: "number", at, size, endian, min: 0, max }];
}

const leastRoom = 1023;

/** Of three letters at least, since a small number before two letters is nothing unusual. */
function stringBehind(bytes: Uint8Array, at: number, size: number, endian: "big" | "little"): string | undefined {
  if (at + size > bytes.length) return undefined;
  const length = numberAt(bytes, at, size, endian);
  const value = bytes.subarray(at + size, at + size + length);
  return length >= 3 && value.length === length && value.every((byte) => isText(byte)) ? latin(value) : undefined;
}

function latin(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
