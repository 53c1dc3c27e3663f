// SPDX-License-Identifier: Apache-2.0
// Derives a profile from recorded connections and from what the server made of each. What it derives
// accepts every connection that the server accepted, by construction and by trial. Says in words what
// it found and what that rests on. Knows nothing of sockets and files.
import { compileProfile } from "../profile/compiled_profile.ts";
import { type ProfileSource, parseProfile } from "../profile/profile.ts";
import { createSniffer } from "../profile/sniffer.ts";
import type { Ciphers } from "../signature/cipher.ts";
import type { Rule } from "../signature/signature.ts";
import type { Sniffer } from "../sniff.ts";
import {
  blocksOf,
  type Constant,
  constantsOf,
  type LengthField,
  lengthFieldOf,
  lengthRule,
  randomPartOf,
  shortestOf,
} from "./fields.ts";
import type { Recording } from "./recording.ts";
import { rulingOf } from "./replay.ts";

/** Fewer say too little: a byte that is 0 in 29 of 30 packets would be taken for a constant. */
export const leastSamples = 30;

/** AES. */
const blockBytes = 16;
/** One stranger in 2^24 has these by chance. */
const tellingBytes = 3;

export type LearnResult =
  | { readonly kind: "learned"; readonly profile: ProfileSource; readonly report: LearnReport }
  /** Nothing that could be told; the text says why and what to do. */
  | { readonly kind: "nothing"; readonly message: string };

export interface LearnReport {
  /** One line each, for people. */
  readonly findings: readonly string[];
  /** Connections that the server accepted. */
  readonly samples: number;
  /** Of those, how many the profile would not have accepted: 0, or there would be no profile. */
  readonly wrongly: number;
  readonly refused: number;
  /** Of those that the server refused, how many the profile would have relayed. */
  readonly relayed: number;
}

export function learn(recordings: readonly Recording[], name: string, ciphers: Ciphers): LearnResult {
  const samples = recordings
    .filter(({ server, bytes }) => server === "accepted" && bytes.length > 0)
    .sort((a, b) => a.atMs - b.atMs);
  if (samples.length < leastSamples) {
    const message = `The server accepted ${samples.length} connections and ${leastSamples} are needed to tell what they have in common; record for longer`;
    return { kind: "nothing", message };
  }
  const found = fieldsOf(samples);
  const random = randomRulesOf(found);
  if (rulesOf(found, random[0]).length === 0) {
    return {
      kind: "nothing",
      message: "The connections that the server accepted have nothing in common; write a profile by hand",
    };
  }
  let tried: Trial = { kind: "nothing", message: "" };
  for (const rule of random.length === 0 ? [undefined] : random) {
    tried = tryRules(rule, { name, samples, found, ciphers });
    if (tried.kind === "profile") break;
  }
  if (tried.kind === "nothing") return tried;
  const { profile, sniffer } = tried;
  const refused = recordings.filter(({ server, bytes }) => server === "refused" && bytes.length > 0);
  const relayed = refused.filter((recording) => isAccepted(sniffer, recording)).length;
  const report = {
    findings: wordsOf(samples, found),
    samples: samples.length,
    wrongly: 0,
    refused: refused.length,
    relayed,
  };
  return { kind: "learned", profile, report };
}

type Trial =
  | { readonly kind: "profile"; readonly profile: ProfileSource; readonly sniffer: Sniffer }
  | { readonly kind: "nothing"; readonly message: string };

interface Material {
  readonly name: string;
  readonly samples: readonly Recording[];
  readonly found: Fields;
  readonly ciphers: Ciphers;
}

/** @param random what is said of the random part, where there is one. */
function tryRules(random: Rule | undefined, { name, samples, found, ciphers }: Material): Trial {
  const header = profileOf(name, samples.length, rulesOf(found, random), found, wantsLibrary(found));
  const whole = parseProfile(header, name, ciphers);
  // So few constant bytes that a stranger of the library may have them too: then it is the library that tells.
  const isCommon = whole.kind === "invalid" && random !== undefined;
  const profile = isCommon ? profileOf(name, samples.length, [random], found, true) : header;
  const parsed = isCommon ? parseProfile(profile, name, ciphers) : whole;
  if (parsed.kind === "invalid") {
    const problems = parsed.problems.map(({ path, message }) => `${path}: ${message}`).join("; ");
    return { kind: "nothing", message: `What the connections have in common makes no profile: ${problems}` };
  }
  const sniffer = createSniffer(compileProfile(parsed.profile));
  const wrongly = samples.filter((sample) => !isAccepted(sniffer, sample)).length;
  if (wrongly === 0) return { kind: "profile", profile, sniffer };
  const message = `The profile would not have accepted ${wrongly} of the ${samples.length} connections that the server accepted; write one by hand`;
  return { kind: "nothing", message };
}

/** At once: an accepted client must not have to fall silent first. */
function isAccepted(sniffer: Sniffer, recording: Recording): boolean {
  return rulingOf(sniffer, recording).verdict === "accept" && sniffer.sniff(recording.bytes, false).kind === "accept";
}

interface RandomPart {
  readonly at: number;
  readonly bytes: number;
}

interface Fields {
  readonly shortest: number;
  readonly field: LengthField | undefined;
  readonly random: RandomPart | undefined;
  readonly constants: readonly Constant[];
  readonly isText: boolean;
  /** A friend's clear header may come to begin as WireGuard does, and it would have to wait. */
  readonly isLikeWireguard: boolean;
  readonly blocks: number | undefined;
}

function fieldsOf(samples: readonly Recording[]): Fields {
  const shortest = shortestOf(samples);
  const field = lengthFieldOf(samples);
  const random = randomPartOf(samples);
  const constants = constantsOf(samples, random?.at ?? shortest, field);
  const isText = random === undefined && samples.every(({ bytes }) => bytes.subarray(0, shortest).every(isTextByte));
  return {
    shortest,
    field,
    random,
    constants,
    isText,
    isLikeWireguard: random !== undefined && random.at >= wireguardHead.length && canBegin(samples, wireguardHead),
    blocks: random === undefined ? undefined : blocksOf(samples, random.at),
  };
}

const wireguardHead = [1, 0, 0, 0];

/** At each place there was this byte, or another one from time to time. */
function canBegin(samples: readonly Recording[], head: readonly number[]): boolean {
  return head.every((byte, at) => {
    const values = new Set(samples.map(({ bytes }) => bytes[at]));
    return values.size > 1 || values.has(byte);
  });
}

function isTextByte(byte: number): boolean {
  return (byte >= 0x20 && byte <= 0x7e) || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

function rulesOf({ shortest, field, constants, isText }: Fields, random: Rule | undefined): Rule[] {
  const rules: Rule[] = constants.map(({ at, bytes }) => ({ kind: "bytes", at, hex: bytes.map(hexOf).join(" ") }));
  if (field !== undefined) rules.push(lengthRule(field));
  if (random !== undefined) rules.push(random);
  // Room for lines half as long as any that was seen.
  if (isText) rules.push({ kind: "run", class: "text", min: Math.ceil(shortest / 2) });
  return rules;
}

/** What can be said of the random part, best first: ciphertext is told in the kernel too, but not every header fits it. */
function randomRulesOf({ shortest, random, blocks }: Fields): Rule[] {
  if (random === undefined) return [];
  const plain = randomRule(random, blocks);
  const least = leastCipherBytes.find((bytes) => bytes <= shortest);
  if (random.at > mostClearBytes || least === undefined || least - random.at < blockBytes) return [plain];
  return [{ kind: "ciphertext", header: random.at, shortest: least }, plain];
}

/** What the rule kind ciphertext takes: docs/verdict.md. */
const mostClearBytes = 16;
/** TapeTrack's shortest packet, and the least of all: where shorter ones were seen, others may be shorter still. */
const leastCipherBytes = [44, 32];

/** A friend with fewer bytes than were ever seen is not turned away, but it waits until it is known to be done. */
function randomRule({ at, bytes }: RandomPart, blocks: number | undefined): Rule {
  const whole: Rule = { kind: "random", at, bytes };
  if (bytes === blockBytes) return whole;
  const max = at + bytes - 1;
  const short: Rule[] = [
    { kind: "random", at, bytes: blockBytes },
    // Since it waits for silence anyway, it can tell whole blocks too.
    blocks === undefined
      ? { kind: "length", min: at + blockBytes, max }
      : { kind: "length", min: at + blockBytes, max, multipleOf: blocks, after: at },
  ];
  return { kind: "any", rules: [whole, { kind: "all", rules: short }] };
}

function profileOf(name: string, samples: number, rules: Rule[], found: Fields, withLibrary: boolean): ProfileSource {
  const [only] = rules;
  const expect: Rule = rules.length === 1 && only !== undefined ? only : { kind: "all", rules };
  const description = `Learned from ${samples} connections`;
  if (!withLibrary) return { name, description, expect };
  const tolerate = found.isLikeWireguard ? { tolerate: ["wireguard"] } : {};
  return { name, description, expect, foreign: "all", ...tolerate };
}

/** With a header of few constant bytes strangers that happen to look random are told by what they are. */
function wantsLibrary({ constants, isText }: Fields): boolean {
  const bytes = constants.reduce((sum, constant) => sum + constant.bytes.length, 0);
  return bytes < tellingBytes && !isText;
}

function wordsOf(
  samples: readonly Recording[],
  { shortest, field, random, constants, isText, blocks }: Fields,
): string[] {
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
  if (random !== undefined)
    words.push(`From byte ${random.at} on the bytes look random, in all samples over at least ${random.bytes} bytes`);
  if (isText) words.push(`The first ${shortest} bytes are text in all samples`);
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

function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
