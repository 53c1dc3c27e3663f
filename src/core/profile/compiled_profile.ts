// SPDX-License-Identifier: Apache-2.0
// A profile as the sniffer runs it: flat tables and no rules. The recognisers of the library are
// compiled when ttgate is built, since that takes longer than all the rest of a start.

import type { Ciphers } from "../signature/cipher.ts";
import { type Program, programOf } from "../signature/program.ts";
import { alternativesOf } from "../signature/term.ts";
import { isRefuter, type Profile, type ProfileSource, signatureContext } from "./profile.ts";

export interface CompiledRecognisers {
  readonly names: readonly string[];
  /** The recogniser that an alternative of the program belongs to. */
  readonly owners: Int32Array;
  readonly program: Program;
}

export interface CompiledProfile {
  readonly name: string;
  readonly expected: Program;
  readonly known: CompiledRecognisers;
  /** By recogniser: it overrules what is expected. */
  readonly refutes: readonly boolean[];
  readonly fallback: Profile["fallback"];
  readonly undecidedLimit: number | undefined;
  readonly speaksFirst: Profile["speaksFirst"];
  readonly unproven?: Profile["unproven"];
}

export function compileRecognisers(known: Profile["known"]): CompiledRecognisers {
  return {
    names: known.map(({ name }) => name),
    owners: Int32Array.from(known.flatMap(({ alternatives }, owner) => alternatives.map(() => owner))),
    program: programOf(known.flatMap(({ alternatives }) => alternatives)),
  };
}

export function compileProfile({ expect, known, ...profile }: Profile): CompiledProfile {
  return {
    name: profile.name,
    expected: programOf(expect),
    known: compileRecognisers(known),
    refutes: known.map((recogniser) => recogniser.refutes),
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
  return {
    name: source.name ?? "",
    expected: programOf(alternativesOf(source.expect, "expect", signatureContext(ciphers))),
    known,
    refutes: known.names.map((name) => isRefuter(source, name)),
    fallback: source.default ?? "foreign",
    undecidedLimit: source.strikes,
    speaksFirst: source.speaksFirst,
  };
}

/** Numbers as base64 of little-endian 32-bit words; only what has no probes can be written. */
export interface WrittenRecognisers {
  readonly names: readonly string[];
  readonly owners: string;
  readonly steps: string;
  readonly starts: string;
  readonly data: string;
  /** How many alternatives each first byte leaves possible, and which. */
  readonly firstByteCounts: string;
  readonly firstByteAlternatives: string;
  readonly horizonBytes: number;
}

/** @throws Error when a recogniser has a rule that only code can decide. */
export function writeRecognisers({ names, owners, program }: CompiledRecognisers): WrittenRecognisers {
  if (program.probes.length > 0) throw new Error("A recogniser of the library has a rule that no table can hold");
  return {
    names,
    owners: wordsText(owners),
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
  return { names: written.names, owners: words(written.owners), program };
}

function wordsText(values: Int32Array): string {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).toBase64();
}

function words(text: string): Int32Array {
  return new Int32Array(Uint8Array.fromBase64(text).buffer);
}
