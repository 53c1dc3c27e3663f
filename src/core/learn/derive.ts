// SPDX-License-Identifier: Apache-2.0
// Derives a profile from connections that the server accepted, by what they have in common. It accepts each of
// them at once, by construction and by trial.
import { compileProfile } from "../profile/compiled_profile.ts";
import { type ProfileSource, parseProfile } from "../profile/profile.ts";
import { createSniffer } from "../profile/sniffer.ts";
import type { Ciphers } from "../signature/cipher.ts";
import type { Rule } from "../signature/signature.ts";
import type { Sniffer } from "../sniff.ts";
import { askedOf, enoughBytes } from "./asked.ts";
import {
  blocksOf,
  type Constant,
  constantsOf,
  lengthFieldOf,
  lengthRules,
  randomPartOf,
  shortestOf,
} from "./fields.ts";
import { type Fields, hexOf, type RandomPart } from "./findings.ts";
import { type Format, formatOf, isText } from "./formats.ts";
import { keysOf } from "./keys.ts";
import type { KnownProtocol } from "./known.ts";
import type { Recording } from "./recording.ts";
import { rulingOf } from "./replay.ts";

/** AES. */
const blockBytes = 16;
/** One stranger in 2^24 has these by chance. */
const tellingBytes = 3;
/** Of shorter packets the library says too little. */
const leastAny = 8;
/** What overlaps with more of the library says little: then the library itself is all that tells. */
const mostTolerated = 20;

export interface Material {
  readonly name: string;
  readonly ciphers: Ciphers;
  /** So many constant bytes are asked for, and a name in letters. */
  readonly askedBytes: number;
  /** What is always the same is so for many sources. */
  readonly isVaried: boolean;
  /** Where they have nothing in common, the library alone tells strangers. */
  readonly takesAny?: boolean;
  /** The profile that takes all samples, where one of ttgate's own does. */
  readonly known: KnownProtocol | undefined;
}

export type Derived =
  | {
      readonly kind: "profile";
      readonly profile: ProfileSource;
      readonly sniffer: Sniffer;
      /** Undefined where the rules are those of a known protocol. */
      readonly fields: Fields | undefined;
    }
  | { readonly kind: "nothing"; readonly message: string };

/** @param samples in the order of their time. */
export function derive(samples: readonly Recording[], material: Material): Derived {
  const { name, known } = material;
  const head = { name, description: `Learned from ${samples.length} connections` };
  if (known !== undefined) {
    const { expect, foreign, tolerate, default: fallback, speaksFirst } = known.source;
    const rest = { foreign, tolerate, default: fallback, speaksFirst };
    return tried({ ...head, expect, ...given(rest) }, samples, material, undefined);
  }
  const fields = fieldsOf(samples, material);
  const random = randomRulesOf(fields);
  if (rulesOf(fields, random[0]).length === 0) {
    if (material.takesAny === true && fields.shortest >= leastAny)
      return tried({ ...head, expect: anyOf(fields), ...libraryFor(fields) }, samples, material, fields);
    const message = "The connections that the server accepted have nothing in common; write a profile by hand";
    return { kind: "nothing", message };
  }
  let result: Derived = { kind: "nothing", message: "" };
  for (const rule of random.length === 0 ? [undefined] : random) {
    for (const profile of profilesOf(head, fields, rule)) {
      result = tried(profile, samples, material, fields);
      if (result.kind === "profile") return result;
    }
  }
  return result;
}

function given<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

/** The strictest first. */
function* profilesOf(
  head: Pick<ProfileSource, "name" | "description">,
  fields: Fields,
  random: Rule | undefined,
): Generator<ProfileSource, void, void> {
  const rules = rulesOf(fields, random);
  const [only] = rules;
  const expect: Rule = rules.length === 1 && only !== undefined ? only : { kind: "all", rules };
  const library = libraryFor(fields);
  const mild = isThin(fields, random) ? { default: "undecided" as const } : {};
  if (wantsLibrary(fields)) yield { ...head, expect, ...library, ...mild };
  // So few constant bytes that a stranger of the library may have them too: then it is the library that tells.
  const left = random ?? anyOf(fields);
  if (wantsLibrary(fields)) yield { ...head, expect: left, ...library };
  yield { ...head, expect, ...mild };
}

/** All that ttgate knows, but what friends may come to look like. */
function libraryFor({ isTextFirst, isLikeWireguard }: Fields): Pick<ProfileSource, "foreign" | "tolerate"> {
  const tolerate = [...(isTextFirst ? ["text"] : []), ...(isLikeWireguard ? ["wireguard"] : [])];
  return { foreign: "all", ...(tolerate.length === 0 ? {} : { tolerate }) };
}

/** Somebody may begin with another word or another byte: no reason to ban, where nobody knows it for something else. */
function isThin(fields: Fields, random: Rule | undefined): boolean {
  const first = firstWords(fields);
  if (first !== undefined) return !first.isSure;
  const asked = countOf(fields.constants);
  return random === undefined && asked < enoughBytes && (asked > 0 || !fields.isText);
}

/** A name of one letter makes a quarter of what any was seen with. */
function anyOf({ shortest }: Fields): Rule {
  return { kind: "length", min: Math.max(1, Math.floor(shortest / 4)) };
}

/**
 * Where recognisers overlap with what is expected, they do not overrule it.
 * @param fields what the rules were made of.
 */
function tried(
  source: ProfileSource,
  samples: readonly Recording[],
  material: Material,
  fields: Fields | undefined,
): Derived {
  let profile = source;
  for (;;) {
    const fit = fitOf(profile, samples, material, fields);
    if (fit.kind === "nothing") return fit;
    if (fit.kind === "fits") return { kind: "profile", profile, sniffer: fit.sniffer, fields };
    profile = tolerating(profile, fit.names);
  }
}

type Fit =
  | { readonly kind: "fits"; readonly sniffer: Sniffer }
  /** These recognisers stand in the way of friends. */
  | { readonly kind: "refuted"; readonly names: readonly string[] }
  | { readonly kind: "nothing"; readonly message: string };

function fitOf(
  profile: ProfileSource,
  samples: readonly Recording[],
  { name, ciphers }: Material,
  fields: Fields | undefined,
): Fit {
  const parsed = parseProfile(profile, name, ciphers);
  if (parsed.kind === "invalid") {
    // With a random part behind so short a header, the library tells strangers better than the header does.
    const { overlaps } = parsed;
    if (overlaps !== undefined && fields?.random === undefined && overlaps.length <= mostTolerated)
      return { kind: "refuted", names: overlaps };
    const problems = parsed.problems.map(({ path, message }) => `${path}: ${message}`).join("; ");
    return { kind: "nothing", message: `What the connections have in common makes no profile: ${problems}` };
  }
  const sniffer = createSniffer(compileProfile(parsed.profile));
  const wrongly = samples.filter((sample) => !isAccepted(sniffer, sample));
  if (wrongly.length === 0) return { kind: "fits", sniffer };
  const names = refutersOf(sniffer, wrongly);
  const isTolerable = profile.foreign === "all" && (profile.tolerate?.length ?? 0) <= mostTolerated;
  if (isTolerable && names.length > 0) return { kind: "refuted", names };
  const message = `The profile would not have accepted ${wrongly.length} of the ${samples.length} connections that the server accepted; write one by hand`;
  return { kind: "nothing", message };
}

function tolerating(profile: ProfileSource, names: readonly string[]): ProfileSource {
  const { foreign = [], tolerate = [] } = profile;
  if (foreign === "all") return { ...profile, tolerate: [...new Set([...tolerate, ...names])].sort() };
  return { ...profile, foreign: foreign.filter((protocol) => !names.includes(protocol)) };
}

function refutersOf(sniffer: Sniffer, samples: readonly Recording[]): string[] {
  const names = samples.map((sample) => rulingOf(sniffer, sample).protocol);
  return [...new Set(names)].filter((name) => name !== null && name !== "unknown") as string[];
}

/** At once: an accepted client must not have to fall silent first. */
export function isAccepted(sniffer: Sniffer, recording: Recording): boolean {
  return rulingOf(sniffer, recording).verdict === "accept" && sniffer.sniff(recording.bytes, false).kind === "accept";
}

function fieldsOf(samples: readonly Recording[], { askedBytes, isVaried }: Material): Fields {
  const shortest = shortestOf(samples);
  const isTextOnly = samples.every(({ bytes }) => bytes.subarray(0, shortest).every(isText));
  const found = isTextOnly ? undefined : randomPartOf(samples);
  const random = found !== undefined && hasNames(samples, found.at) ? undefined : found;
  const format = random === undefined ? formatOf(samples, isVaried) : undefined;
  const length = isTextOnly ? undefined : lengthFieldOf(samples);
  // A length among the values is that of one of them.
  const field = length !== undefined && length.at < (format?.valuesAt ?? length.at + 1) ? length : undefined;
  const end = Math.min(random?.at ?? shortest, format?.valuesAt ?? shortest);
  const same = constantsOf(samples, end, field, format === undefined);
  const keys = keysOf(same, samples, isVaried);
  return {
    ...{
      shortest,
      field,
      random,
      format,
      same: keys,
      ...askedOf(keys, samples, field, format === undefined ? end + 1 : end, askedBytes),
    },
    isText: isTextOnly,
    isTextFirst: samples.every(({ bytes }) => bytes.length >= telling && bytes.subarray(0, telling).every(isAscii)),
    isLikeWireguard: random !== undefined && random.at >= wireguardHead.length && canBegin(samples, wireguardHead),
    blocks: random === undefined ? undefined : blocksOf(samples, random.at),
  };
}

/** Longer text is what the library calls `text`. */
const telling = 8;
const isAscii = (byte: number) => byte < 0x80 && isText(byte);

/** Names behind their length, before a zero, or of different lengths: with a longer one all that is behind it moves. */
function hasNames(samples: readonly Recording[], before: number): boolean {
  for (let at = 0; at + shortestName <= before; at++) {
    const names = samples.map(({ bytes }) => textFrom(bytes, at));
    const lengths = names.map(({ length }) => length);
    const common = Math.min(before - at, ...lengths);
    const isConstant = new Set(names.map((name) => String(name.subarray(0, common)))).size === 1;
    if (isConstant || common < shortestName) continue;
    const isSized = samples.every(({ bytes }, index) => bytes[at - 1] === lengths[index]);
    const isEnded = samples.every(({ bytes }, index) => bytes[at + (lengths[index] ?? 0)] === 0);
    if (isSized || isEnded || new Set(lengths).size > 1) return true;
  }
  return false;
}

const shortestName = 3;

function textFrom(bytes: Uint8Array, at: number): Uint8Array {
  const end = bytes.findIndex((byte, index) => index >= at && !isAscii(byte));
  return bytes.subarray(at, end < 0 ? bytes.length : end);
}

const wireguardHead = [1, 0, 0, 0];

/** At each place there was this byte, or another one from time to time. */
function canBegin(samples: readonly Recording[], head: readonly number[]): boolean {
  return head.every((byte, at) => {
    const values = new Set(samples.map(({ bytes }) => bytes[at]));
    return values.size > 1 || values.has(byte);
  });
}

function rulesOf(fields: Fields, random: Rule | undefined): Rule[] {
  const { shortest, field, format, constants, ranges, isText } = fields;
  const rules: Rule[] = constants.map(({ at, bytes }) => ({ kind: "bytes", at, hex: bytes.map(hexOf).join(" ") }));
  for (const { at, max } of ranges) rules.push({ kind: "number", at, size: 1, min: 0, max });
  if (field !== undefined) rules.push(...lengthRules(field));
  const first = firstWords(fields);
  if (first !== undefined) rules.push({ kind: "text", at: first.at, text: [...first.texts], ignoreCase: true });
  rules.push(...(format?.rules ?? []));
  if (random !== undefined) rules.push(random);
  // Room for lines half as long as any that was seen, and for letters of any language.
  if (isText && rules.length === 0)
    rules.push({ kind: "run", class: "text", also: highBytes, min: Math.ceil(shortest / 2) });
  return rules;
}

/** Where a header tells strangers apart, it need not be told by which name comes first. */
function firstWords({ format, constants }: Fields): Format["first"] {
  return countOf(constants) < tellingBytes ? format?.first : undefined;
}

function countOf(constants: readonly Constant[]): number {
  return constants.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

const highBytes = Array.from({ length: 128 }, (_, index) => hexOf(128 + index)).join(" ");

/** What can be said of the random part, best first: ciphertext is told in the kernel too, but not every header fits it. */
function randomRulesOf({ shortest, random, blocks }: Fields): Rule[] {
  if (random === undefined) return [];
  const plain = randomRule(random, blocks);
  const least = leastCipherBytes.find((bytes) => bytes <= Math.min(shortest, random.at + random.bytes));
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

/** With a header of few constant bytes strangers that happen to look alike are told by what they are. */
function wantsLibrary(fields: Fields): boolean {
  const { constants, random } = fields;
  const first = firstWords(fields);
  if (first !== undefined) return !first.isSure;
  return countOf(constants) < (random === undefined ? tellingBytes : enoughBytes);
}
