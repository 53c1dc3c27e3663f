// SPDX-License-Identifier: Apache-2.0
// What was found in common, and in words for people.
import type { Range } from "./asked.ts";
import type { Constant, LengthField } from "./fields.ts";
import type { Format } from "./formats.ts";
import type { KnownProtocol } from "./known.ts";
import type { Recording } from "./recording.ts";
import { serverNameOf } from "./server_name.ts";

export interface RandomPart {
  readonly at: number;
  readonly bytes: number;
}

export interface Fields {
  readonly shortest: number;
  readonly field: LengthField | undefined;
  readonly random: RandomPart | undefined;
  readonly format: Format | undefined;
  /** What the rules ask for: bytes that never changed, and small numbers. */
  readonly constants: readonly Constant[];
  readonly ranges: readonly Range[];
  readonly doubtful: readonly Constant[];
  /** What never changed, asked for or not. */
  readonly same: readonly Constant[];
  readonly isText: boolean;
  /** All begin with so much text that a longer name would make it what the library calls `text`. */
  readonly isTextFirst: boolean;
  /** A friend's clear header may come to begin as WireGuard does, and it would have to wait. */
  readonly isLikeWireguard: boolean;
  readonly blocks: number | undefined;
}

export function wordsOfKnown(samples: readonly Recording[], { name }: KnownProtocol): string[] {
  const words = [
    `All ${samples.length} samples are what the built-in profile "${name}" expects; its rules are taken, and nothing that these clients chose`,
  ];
  if (name !== "tls") return words;
  const names = [...new Set(samples.map(({ bytes }) => serverNameOf(bytes) ?? "no name"))].sort();
  const some = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  return [...words, `They ask for ${some}; all names are accepted, kind = "tls" with sni = [...] narrows that`];
}

export function wordsOf(samples: readonly Recording[], fields: Fields): string[] {
  const { shortest, field, random, format, isText, blocks } = fields;
  const words = fields.same.map((run) => `The bytes ${placed(run)} in all ${samples.length} samples`);
  if (words.length > 0) words.push(askedWords(fields));
  if (field !== undefined) {
    const bits = `${field.size * 8}-bit${field.size > 1 ? ` ${field.endian}-endian` : ""}`;
    words.push(
      `The ${bits} number at ${field.at} is the packet's length less ${field.plus}; up to ${field.greatest} was seen`,
    );
  }
  if (format !== undefined) words.push(format.words);
  if (random !== undefined)
    words.push(`From byte ${random.at} on the bytes look random, in all samples over at least ${random.bytes} bytes`);
  if (isText && format === undefined) words.push(`The first ${shortest} bytes are text in all samples`);
  const longest = samples.reduce((most, { totalBytes }) => Math.max(most, totalBytes), 0);
  words.push(`Packets have ${shortest} to ${longest} bytes; the rules leave room for shorter and longer ones`);
  if (longest === shortest)
    words.push("All are of one size, so bytes that may be their length make no rule; look on for longer");
  if (blocks !== undefined) {
    words.push(
      `After the first ${random?.at ?? 0} bytes they are whole blocks of ${blocks}; a rule only for shorter packets, since it takes the client's silence to prove it`,
    );
  }
  return words;
}

/** What is asked for, and why no more. */
function askedWords({ constants, ranges, same }: Fields): string {
  const countOf = (runs: readonly Constant[]) => runs.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (countOf(constants) === countOf(same)) return "The rules ask for all of these";
  const asked = [
    ...constants.map((run) => placed(run).replace(" are at ", " at ")),
    ...ranges.map(({ at, max }) => `up to ${max} at ${at}`),
  ];
  const rest = "a version, a date, the upper part of a number or a site's own may change some day";
  return `Of these the rules ask for ${asked.length === 0 ? "none" : asked.join(", ")}: ${rest}`;
}

export function placed({ at, bytes }: Constant): string {
  const isText = bytes.every((byte) => byte >= 0x20 && byte <= 0x7e);
  const text = isText ? ` (${JSON.stringify(String.fromCharCode(...bytes))})` : "";
  return `${bytes.map(hexOf).join(" ")}${text} are at ${at}`;
}

export function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
