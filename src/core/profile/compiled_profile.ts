// SPDX-License-Identifier: Apache-2.0
// A profile as the sniffer runs it: flat tables and no rules. The recognisers of the library are
// compiled when ttgate is built, since that takes longer than all the rest of a start.

import { evidenceBits } from "../signature/bounds.ts";
import type { Ciphers } from "../signature/cipher.ts";
import { makeProgram, type Program, programOf } from "../signature/program.ts";
import { alternativesOf } from "../signature/term.ts";
import { finished, type Work } from "../work.ts";
import { isKin, isOverruled, isRefuter, type Profile, type ProfileSource, signatureContext } from "./profile.ts";

export interface CompiledRecognisers {
  readonly names: readonly string[];
  /** The recogniser that an alternative of the program belongs to. */
  readonly owners: Int32Array;
  /** By alternative: bits of evidence, at the least. */
  readonly evidence: Int32Array;
  readonly program: Program;
}

export interface CompiledProfile {
  readonly name: string;
  readonly expected: Program;
  readonly known: CompiledRecognisers;
  /** By recogniser: it overrules what is expected. */
  readonly refutes: readonly boolean[];
  /** By recogniser: what it knows is a near miss. */
  readonly kin: readonly boolean[];
  /** By recogniser: a near miss overrules it. */
  readonly overruled: readonly boolean[];
  readonly near: Program;
  /** The silence of a client that said too little is then no strike: only a near miss is. */
  readonly hasNear: boolean;
  readonly fallback: Profile["fallback"];
  readonly undecidedLimit: number | undefined;
  readonly speaksFirst: Profile["speaksFirst"];
  readonly unproven?: Profile["unproven"];
}

export function* compileRecognisers(known: Profile["known"]): Work<CompiledRecognisers> {
  const everyone = known.flatMap(({ alternatives }) => alternatives);
  const evidence: number[] = [];
  for (const alternative of everyone) {
    yield;
    evidence.push(Math.floor(evidenceBits(alternative)));
  }
  return {
    names: known.map(({ name }) => name),
    evidence: Int32Array.from(evidence),
    owners: Int32Array.from(known.flatMap(({ alternatives }, owner) => alternatives.map(() => owner))),
    program: yield* makeProgram(everyone),
  };
}

export function compileProfile(profile: Profile): CompiledProfile {
  return finished(makeCompiled(profile));
}

/** The same a rule at a time. */
export function* makeCompiled({ expect, known, near, ...profile }: Profile): Work<CompiledProfile> {
  return {
    name: profile.name,
    expected: yield* makeProgram(expect),
    known: yield* compileRecognisers(known),
    refutes: known.map((recogniser) => recogniser.refutes),
    kin: known.map((recogniser) => recogniser.isKin),
    overruled: known.map((recogniser) => recogniser.isOverruled),
    near: yield* makeProgram(near),
    hasNear: profile.hasNear,
    fallback: profile.fallback,
    undecidedLimit: profile.undecidedLimit,
    speaksFirst: profile.speaksFirst,
    unproven: profile.unproven,
  };
}

/**
 * A profile that comes with ttgate: its rules were checked when it was built.
 * @param known the library's recognisers.
 */
export function builtInProfile(source: ProfileSource, known: CompiledRecognisers, ciphers: Ciphers): CompiledProfile {
  const context = signatureContext(ciphers);
  const near = source.near?.rules ?? [];
  return {
    name: source.name ?? "",
    expected: programOf(alternativesOf(source.expect, "expect", context)),
    known,
    refutes: known.names.map((name) => isRefuter(source, name)),
    kin: known.names.map((name) => isKin(source, name)),
    overruled: known.names.map((name) => isOverruled(source, name)),
    near: programOf(near.flatMap((rule) => alternativesOf(rule, "near", context))),
    hasNear: source.near !== undefined,
    fallback: source.default ?? "foreign",
    undecidedLimit: source.strikes,
    speaksFirst: source.speaksFirst,
  };
}

/** Numbers as base64 of little-endian 32-bit words; only what has no probes can be written. */
export interface WrittenRecognisers {
  readonly names: readonly string[];
  readonly owners: string;
  readonly evidence: string;
  readonly steps: string;
  readonly starts: string;
  readonly data: string;
  /** How many alternatives each first byte leaves possible, and which. */
  readonly firstByteCounts: string;
  readonly firstByteAlternatives: string;
  readonly horizonBytes: number;
}

/** @throws Error when a recogniser has a rule that only code can decide. */
export function writeRecognisers({ names, owners, evidence, program }: CompiledRecognisers): WrittenRecognisers {
  if (program.probes.length > 0) throw new Error("A recogniser of the library has a rule that no table can hold");
  return {
    names,
    owners: wordsText(owners),
    evidence: wordsText(evidence),
    steps: wordsText(program.steps),
    starts: wordsText(program.starts),
    data: program.data.toBase64(),
    firstByteCounts: wordsText(Int32Array.from(program.byFirstByte, (list) => list.length)),
    firstByteAlternatives: wordsText(Int32Array.from(program.byFirstByte.flatMap((list) => [...list]))),
    horizonBytes: program.horizonBytes,
  };
}

export function readRecognisers(written: WrittenRecognisers): CompiledRecognisers {
  const alternatives = words(written.firstByteAlternatives);
  let start = 0;
  const byFirstByte = Array.from(words(written.firstByteCounts), (count) => {
    start += count;
    return alternatives.subarray(start - count, start);
  });
  const program: Program = {
    steps: words(written.steps),
    starts: words(written.starts),
    data: Uint8Array.fromBase64(written.data),
    probes: [],
    byFirstByte,
    horizonBytes: written.horizonBytes,
  };
  return { names: written.names, owners: words(written.owners), evidence: words(written.evidence), program };
}

function wordsText(values: Int32Array): string {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).toBase64();
}

function words(text: string): Int32Array {
  return new Int32Array(Uint8Array.fromBase64(text).buffer);
}
