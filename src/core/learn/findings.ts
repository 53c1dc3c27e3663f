// SPDX-License-Identifier: Apache-2.0
// What was found in common, and in words for people.
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
  readonly constants: readonly Constant[];
  readonly isText: boolean;
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
  const { shortest, field, random, format, constants, isText, blocks } = fields;
  const words: string[] = [];
  for (const { at, bytes } of constants) {
    const text = bytes.every((byte) => byte >= 0x20 && byte <= 0x7e)
      ? ` (${JSON.stringify(String.fromCharCode(...bytes))})`
      : "";
    words.push(`The bytes ${bytes.map(hexOf).join(" ")}${text} are at ${at} in all ${samples.length} samples`);
  }
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

export function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
