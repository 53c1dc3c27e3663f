// SPDX-License-Identifier: Apache-2.0
// Learns a profile from recorded connections and from what the server made of each. Of several that fit it
// takes the strictest that would have taken every source also without having seen it. Says in words what it
// found and what that rests on, and where that is too little, what is missing. Knows nothing of sockets and files.
import type { ProfileSource } from "../profile/profile.ts";
import type { Ciphers } from "../signature/cipher.ts";
import { enoughBytes } from "./asked.ts";
import { type Derived, derive, isAccepted, type Material } from "./derive.ts";
import { type Fields, placed, wordsOf, wordsOfKnown } from "./findings.ts";
import { knownProtocolOf } from "./known.ts";
import type { Recording } from "./recording.ts";
import { missingIn, plural, samplesBySource, type Variety, varietyOf } from "./variety.ts";

/** Fewer say too little: a byte that is 0 in 29 of 30 packets would be taken for a constant. */
export const leastSamples = 30;

/** How many constant bytes are asked for, the strictest first. */
const asked = [enoughBytes, 1, 0];
/** That one client has nothing in common with the others shows in so many bytes; of 4 KiB each it took half a minute. */
const tellingBytes = 64;
/** Of more sources several are left out at a time: learning this often takes seconds. */
const mostFolds = 25;

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
  readonly variety: Variety;
  /** Sources that were left out in turn, and how many of them what was learned from the others would have banned. */
  readonly leftOut: { readonly sources: number; readonly banned: number };
  /** What is missing to enforce the profile without a trial; empty: nothing. */
  readonly missing: readonly string[];
}

export function learn(recordings: readonly Recording[], name: string, ciphers: Ciphers): LearnResult {
  const samples = recordings
    .filter(({ server, bytes }) => server === "accepted" && bytes.length > 0)
    .sort((a, b) => a.atMs - b.atMs);
  if (samples.length < leastSamples) {
    const message = `The server accepted ${samples.length} connections and ${leastSamples} are needed to tell what they have in common; record for longer`;
    return { kind: "nothing", message };
  }
  const variety = varietyOf(samples);
  const tooLittle = missingIn(variety);
  const known = knownProtocolOf(samples, ciphers);
  const material = { name, ciphers, known, isVaried: tooLittle.length === 0 };
  let best = bestOf(samples, material);
  if (best.kind === "nothing") {
    const stranger = strangerIn(samples, material);
    if (stranger === "") best = bestOf(samples, { ...material, takesAny: true });
    if (best.kind === "nothing") return { ...best, message: best.message + stranger };
  }
  const { derived, leftOut } = best;
  // The rules of a known protocol rest on its specification.
  const missing = known === undefined ? [...tooLittle, ...doubtsOf(leftOut), ...doubtsAbout(derived.fields)] : [];
  const refused = recordings.filter(({ server, bytes }) => server === "refused" && bytes.length > 0);
  const profile = {
    ...derived.profile,
    ...(greets(samples) ? { speaksFirst: "server" as const } : {}),
    ...(missing.length === 0 ? {} : { unproven: missing.join("; ") }),
  };
  const words = derived.fields === undefined ? [] : wordsOf(samples, derived.fields);
  const report = {
    findings: [...(known === undefined ? words : wordsOfKnown(samples, known)), ...wordsOfProfile(profile)],
    ...{ samples: samples.length, wrongly: 0, refused: refused.length, variety, leftOut, missing },
    relayed: refused.filter((recording) => isAccepted(derived.sniffer, recording)).length,
  };
  return { kind: "learned", profile, report };
}

type Found = Extract<Derived, { kind: "profile" }>;

interface Best {
  readonly kind: "best";
  readonly derived: Found;
  readonly leftOut: LearnReport["leftOut"];
}

function bestOf(
  samples: readonly Recording[],
  given: Omit<Material, "askedBytes">,
): Best | Extract<LearnResult, { kind: "nothing" }> {
  const folds = foldsOf(samples);
  let best: Best | undefined;
  let before = "";
  for (const askedBytes of given.known === undefined ? asked : asked.slice(0, 1)) {
    const material = { ...given, askedBytes };
    const derived = derive(samples, material);
    if (derived.kind === "nothing") {
      if (best === undefined) return derived;
      break;
    }
    const rules = JSON.stringify(derived.profile);
    if (rules === before) break;
    before = rules;
    const banned = folds.reduce((sum, fold) => sum + bannedOf(fold, samples, material), 0);
    const sources = folds.reduce((sum, fold) => sum + fold.size, 0);
    if (best === undefined || banned < best.leftOut.banned)
      best = { kind: "best", derived, leftOut: { sources, banned } };
    if (banned === 0) break;
  }
  return best ?? { kind: "nothing", message: "" };
}

type Fold = ReadonlyMap<string, readonly Recording[]>;

/** Each source by itself, as long as there are not too many. */
function foldsOf(samples: readonly Recording[]): Fold[] {
  const bySource = [...samplesBySource(samples)];
  if (bySource.length < 2) return [];
  const size = Math.ceil(bySource.length / mostFolds);
  return Array.from(
    { length: Math.ceil(bySource.length / size) },
    (_, index) => new Map(bySource.slice(index * size, (index + 1) * size)),
  );
}

/** @returns how many sources of the fold are turned away by what the others have in common. */
function bannedOf(fold: Fold, samples: readonly Recording[], material: Material): number {
  const derived = derive(without(fold, samples), material);
  if (derived.kind === "nothing") return 0;
  return [...fold.values()].filter((own) => own.some((sample) => !isAccepted(derived.sniffer, sample))).length;
}

/** A single client is enough to leave nothing in common: a scanner that the server answered. */
function strangerIn(recordings: readonly Recording[], material: Omit<Material, "askedBytes" | "known">): string {
  const samples = recordings.map((sample) => ({ ...sample, bytes: sample.bytes.subarray(0, tellingBytes) }));
  const agree = (fold: Fold) => {
    const others = without(fold, samples);
    const known = knownProtocolOf(others, material.ciphers);
    return (
      others.length >= leastSamples &&
      derive(others, { ...material, known, askedBytes: enoughBytes }).kind === "profile"
    );
  };
  const singly = (fold: Fold) => [...fold].find((one) => agree(new Map([one])));
  const found = foldsOf(samples)
    .filter(agree)
    .map(singly)
    .find((one) => one !== undefined);
  if (found === undefined) return "";
  const [source, own] = found;
  return `; without the ${own.length} of the source "${source}" they have: if that is no client of yours, take its lines out of a recording (--record) and learn from that`;
}

function without(fold: Fold, samples: readonly Recording[]): Recording[] {
  return samples.filter(({ source }) => source === undefined || !fold.has(source));
}

function doubtsOf({ banned }: LearnReport["leftOut"]): string[] {
  if (banned === 0) return [];
  return [
    `${banned} ${plural("source", banned)} would have been banned by what the others have in common: there may be more kinds of clients`,
  ];
}

function doubtsAbout(fields: Fields | undefined): string[] {
  const runs = fields?.doubtful ?? [];
  const cut = fields?.format?.first?.cut;
  return [
    ...runs.map(
      (run) => `the bytes ${placed(run)}, beside bytes that change, and may be the upper part of a number that grows`,
    ),
    ...(cut === undefined
      ? []
      : [`the first word ${JSON.stringify(cut)} may be what these clients' names have in common`]),
  ];
}

/** A server that waits for its clients never speaks first. */
function greets(samples: readonly Recording[]): boolean {
  return samples.filter(({ greeted }) => greeted).length > samples.length / 10;
}

function wordsOfProfile({ expect, foreign, default: fallback, tolerate = [], speaksFirst }: ProfileSource): string[] {
  return [
    ...(expect.kind === "length"
      ? ["That is too little to tell strangers: only those that ttgate knows are banned"]
      : []),
    ...(fallback === "undecided"
      ? [
          `Others may begin otherwise: who does is refused, and ${foreign === "all" ? "banned only if ttgate knows it for another protocol" : "never banned"}`,
        ]
      : []),
    ...(tolerate.length === 0
      ? []
      : [`Friends may look like ${tolerate.join(", ")}, which therefore is not banned by that name (tolerate)`]),
    ...(speaksFirst === "server" ? ['The server speaks first: speaksFirst = "server"'] : []),
  ];
}
