// SPDX-License-Identifier: Apache-2.0
// A profile as one block of fixed-size structs for the BPF program, little-endian. A table decides as
// the matcher does for a client that may still send: the kernel never learns that one fell silent.
// docs/signatures.md has the layout as C; tests/core/signature/table.test.ts reads it back.

import { reasonHash } from "../bans/reason.ts";
import { laneStarts } from "../ciphertext/bets.ts";
import { expertNames, laneNames } from "../ciphertext/score_table.ts";
import { isDecidedByBets, type Profile } from "../profile/profile.ts";
import { fewestBytes, unknownProtocol } from "../profile/sniffer.ts";
import { finished, type Work } from "../work.ts";
import { type Bounds, boundsOf } from "./bounds.ts";
import { keyOf } from "./class.ts";
import { findPivots, type Pivot } from "./pivots.ts";
import { makeFirstByteLists } from "./program.ts";
import type { Alternative, Problem, Term, Test } from "./term.ts";

export const tableMagic = 0x73746774; // "tgts"
export const tableVersion = 5;

/** What the program looks at of a connection; a longer rule is left to user space. */
export const tablePrefixBytes = 256;

/** The program's place for a table, and the bounds of its loops: bpf/signature_table.h. */
export const tableLimits = { bytes: 256 * 1024, candidates: 256, steps: 32 } as const;

export const headerBytes = 64;
const alternativesAt = headerBytes;
export const alternativeBytes = 16;
export const stepBytes = 24;
const setBytes = 32;
/** Two 16-bit numbers for each first byte: where its list begins, how long it is. */
const dispatchBytes = 256 * 4;

export const flagRefutes = 1;
export const flagExpected = 2;
export const flagNear = 4;
export const flagOverruled = 8;

export const flagNegated = 1;
export const flagRelative = 2;
export const flagLittle = 4;

export const kindBytes = 1;
export const kindRun = 2;
export const kindRest = 3;
export const kindNumber = 4;
export const kindLength = 5;
export const kindBlocks = 6;
export const kindCiphertext = 7;

/** In place of a set's index or of a maximum. */
export const nothing = 0xffff;

/** A step compares at most so many bytes; a longer text takes several steps. */
const stepValueBytes = 8;

export interface SignatureTable {
  readonly bytes: Uint8Array;
  /** By the owner of an alternative: the protocol's name. The last is what nobody knows. */
  readonly protocols: readonly string[];
  /** Recognisers' rules that the kernel does without, and why. */
  readonly leftOut: readonly Problem[];
}

export type TableResult =
  | { readonly kind: "table"; readonly table: SignatureTable }
  /** What the profile says can only be decided in user space. */
  | { readonly kind: "refused"; readonly problems: readonly Problem[] };

interface Entry {
  readonly alternative: Alternative;
  readonly owner: number;
  readonly flags: number;
}

export function tableOf(profile: Profile): TableResult {
  return finished(makeTable(profile));
}

/** The same a rule at a time. */
export function* makeTable(profile: Profile): Work<TableResult> {
  // A near miss that the kernel does not know would be banned by it.
  const known = profile.known.flatMap(({ refutes, isOwn, isKin, isOverruled, alternatives }, owner) =>
    alternatives.map((alternative) => ({
      alternative,
      owner,
      flags: (refutes ? flagRefutes : 0) | (isKin ? flagNear : 0) | (isOverruled ? flagOverruled : 0),
      isNeeded: isOwn || isKin,
    })),
  );
  // What is expected matters only where everything else is foreign.
  const isStrict = profile.fallback === "foreign";
  const expected = (isStrict ? profile.expect : []).map((alternative) => ({
    alternative,
    owner: nothing,
    flags: flagExpected,
    isNeeded: true,
  }));
  const near = profile.near.map((alternative) => ({ alternative, owner: nothing, flags: flagNear, isNeeded: true }));
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  const leftOut: Problem[] = [];
  for (const { isNeeded, ...entry } of [...known, ...expected, ...near]) {
    yield;
    const obstacle = obstacleOf(entry.alternative);
    if (obstacle === undefined) entries.push(entry);
    else (isNeeded ? problems : leftOut).push(obstacle);
  }
  if (problems.length > 0) return { kind: "refused", problems };
  const names = profile.known.map(({ name }) => name);
  const hasBets = isDecidedByBets(profile);
  const protocols = [
    ...names,
    ...(hasBets ? expertNames.filter((name) => !names.includes(name)) : []),
    unknownProtocol,
  ];
  const parts = yield* makeParts(entries, protocols);
  const obstacle = tooBig(parts);
  if (obstacle !== undefined) return { kind: "refused", problems: [obstacle] };
  const bytes = yield* encode(entries, protocols, isStrict, hasBets, parts);
  return { kind: "table", table: { bytes, protocols, leftOut } };
}

/** What fits the encoding and not the program; found before it is written, where a count could wrap. */
function tooBig({ steps, lists, bytes }: Parts): Problem | undefined {
  const found = {
    bytes,
    candidates: most(lists.map(({ length }) => length)),
    steps: most(steps.map(({ length }) => length)),
  };
  const words = {
    bytes: "bytes of signatures",
    candidates: "rules that begin with the same byte",
    steps: "parts of one rule",
  };
  for (const key of ["bytes", "candidates", "steps"] as const) {
    if (found[key] <= tableLimits[key]) continue;
    const message = `The kernel has room for ${tableLimits[key]} ${words[key]}, this profile has ${found[key]}; drop rules or names of foreign, or use the mode proxy`;
    return { path: "the file", message };
  }
  return undefined;
}

/** Not Math.max(...): a profile may have more rules than a call may have arguments. */
function most(values: readonly number[]): number {
  return values.reduce((greatest, value) => Math.max(greatest, value), 0);
}

function obstacleOf(alternative: Alternative): Problem | undefined {
  const probe = alternative.find(({ test }) => test.kind === "probe" && test.probe.bets === undefined);
  if (probe !== undefined) return { path: probe.path, message: "Only user space can decide this; use the mode proxy" };
  const long = alternative.find(
    ({ negated, test }) => negated && test.kind === "bytes" && test.value.length > stepValueBytes,
  );
  if (long !== undefined) {
    const message = `A negated text has at most ${stepValueBytes} bytes in the kernel; shorten it, or use the mode proxy`;
    return { path: long.path, message };
  }
  const { horizonBytes } = boundsOf(alternative);
  if (horizonBytes <= tablePrefixBytes) return undefined;
  const message = `This may need ${horizonBytes} bytes and the kernel looks at ${tablePrefixBytes}; shorten it, or use the mode proxy`;
  return { path: alternative[0]?.path ?? "", message };
}

/** A table's contents, and where in it they stand. */
interface Parts {
  readonly bounds: readonly Bounds[];
  /** By entry. */
  readonly steps: readonly (readonly Step[])[];
  readonly pivots: readonly (readonly Pivot[])[];
  /** By first byte, the entries that it leaves possible. */
  readonly lists: readonly (readonly number[])[];
  /** A set's cells as text, and its index. */
  readonly sets: ReadonlyMap<string, number>;
  readonly stepCount: number;
  /** Offsets. */
  readonly places: Readonly<Record<"stepsAt" | "setsAt" | "dispatchAt" | "listsAt" | "reasonsAt" | "lanesAt", number>>;
  readonly bytes: number;
}

function* makeParts(entries: readonly Entry[], protocols: readonly string[]): Work<Parts> {
  const sets = new Map<string, number>();
  const setIndex = (set: Uint8Array) => {
    const key = keyOf(set);
    const index = sets.get(key) ?? sets.size;
    sets.set(key, index);
    return index;
  };
  const steps: Step[][] = [];
  for (const { alternative } of entries) {
    yield;
    steps.push(alternative.flatMap((term) => stepsOf(term, setIndex)));
  }
  const bounds = entries.map(({ alternative }) => boundsOf(alternative));
  const lists = yield* makeFirstByteLists(bounds);
  const pivots = yield* findPivots(
    entries.map(({ alternative }) => alternative),
    setIndex,
  );

  const stepCount = steps.reduce((sum, { length }) => sum + length, 0);
  const listed = lists.reduce((sum, { length }) => sum + length, 0);
  const stepsAt = alternativesAt + entries.length * alternativeBytes;
  const setsAt = stepsAt + stepCount * stepBytes;
  const dispatchAt = setsAt + sets.size * setBytes;
  const listsAt = dispatchAt + dispatchBytes;
  const reasonsAt = Math.ceil((listsAt + listed * 2) / 4) * 4;
  const lanesAt = reasonsAt + protocols.length * 4;
  const bytes = lanesAt + laneNames.length * 2;
  const places = { stepsAt, setsAt, dispatchAt, listsAt, reasonsAt, lanesAt };
  return { bounds, steps, pivots, lists, sets, stepCount, places, bytes };
}

function* encode(
  entries: readonly Entry[],
  protocols: readonly string[],
  hasExpected: boolean,
  hasBets: boolean,
  parts: Parts,
): Work<Uint8Array> {
  const { bounds, steps, pivots, lists, sets, places } = parts;
  const { stepsAt, setsAt, dispatchAt, listsAt, reasonsAt, lanesAt } = places;
  const view = new DataView(new ArrayBuffer(parts.bytes));
  const words = [
    tableMagic,
    tableVersion,
    hasExpected ? 1 : 0,
    Math.max(fewestBytes, most(bounds.map(({ horizonBytes }) => horizonBytes))),
    entries.length,
    alternativesAt,
    parts.stepCount,
    stepsAt,
    sets.size,
    setsAt,
    dispatchAt,
    listsAt,
    protocols.length,
    reasonsAt,
    hasBets ? 1 : 0,
    lanesAt,
  ];
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);

  let firstStep = 0;
  for (const [index, { owner, flags }] of entries.entries()) {
    yield;
    const at = alternativesAt + index * alternativeBytes;
    const count = steps[index]?.length ?? 0;
    view.setUint16(at, firstStep, true);
    view.setUint8(at + 2, count);
    view.setUint8(at + 3, flags);
    view.setUint16(at + 4, owner, true);
    view.setUint16(at + 6, bounds[index]?.horizonBytes ?? 0, true);
    for (const which of [0, 1]) {
      const pivot = pivots[index]?.[which];
      view.setUint16(at + 8 + which * 4, pivot?.at ?? nothing, true);
      view.setUint16(at + 10 + which * 4, pivot?.set ?? 0, true);
    }
    firstStep += count;
  }
  for (const [index, step] of steps.flat().entries()) {
    yield;
    putStep(view, stepsAt + index * stepBytes, step);
  }
  for (const [key, index] of sets) {
    yield;
    putSet(view, setsAt + index * setBytes, key);
  }
  let firstEntry = 0;
  for (const [byte, list] of lists.entries()) {
    view.setUint16(dispatchAt + byte * 4, firstEntry, true);
    view.setUint16(dispatchAt + byte * 4 + 2, list.length, true);
    for (const entry of list) view.setUint16(listsAt + firstEntry++ * 2, entry, true);
  }
  for (const [index, protocol] of protocols.entries())
    view.setUint32(reasonsAt + index * 4, reasonHash(protocol), true);
  for (const [lane, name] of laneNames.entries())
    view.setUint16(lanesAt + lane * 2, Math.max(0, protocols.indexOf(name)), true);
  return new Uint8Array(view.buffer);
}

interface Step {
  readonly kind: number;
  readonly flags: number;
  readonly at: number;
  readonly count: number;
  readonly limit: number;
  /** 16 bytes, as the kind wants them. */
  readonly content: Uint8Array;
}

function stepsOf(term: Term, setIndex: (set: Uint8Array) => number): Step[] {
  const { test } = term;
  const base = {
    flags: (term.negated ? flagNegated : 0) | (term.relative ? flagRelative : 0),
    at: term.at,
    count: 0,
    limit: 0,
  };
  switch (test.kind) {
    case "bytes":
      return bytesSteps(test, base);
    case "run":
      return [{ ...base, kind: kindRun, count: test.min, limit: test.max, content: setContent(test, setIndex) }];
    case "rest":
      return [{ ...base, kind: kindRest, count: test.min, limit: test.max, content: setContent(test, setIndex) }];
    case "number":
      return [
        {
          ...base,
          kind: kindNumber,
          flags: base.flags | (test.little ? flagLittle : 0),
          count: test.size,
          limit: { free: 0, equals: 1, within: 2 }[test.length],
          content: words(test.min, test.max, test.plus),
        },
      ];
    case "length":
      return [
        {
          ...base,
          kind: kindLength,
          count: test.min,
          limit: Number.isFinite(test.max) ? test.max : nothing,
          content: words(),
        },
      ];
    case "blocks":
      return [{ ...base, kind: kindBlocks, count: test.size, limit: test.max, content: words(test.after) }];
    case "probe": {
      if (test.probe.bets === undefined) throw new Error("Encode a signature: only user space can decide it");
      const { header, shortest } = test.probe.bets.options;
      const { betStart, uniformStart } = laneStarts(test.probe.bets.options);
      return [
        {
          ...base,
          kind: kindCiphertext,
          at: header,
          count: shortest,
          content: words(betStart, uniformStart - betStart),
        },
      ];
    }
  }
}

type Base = Pick<Step, "flags" | "at" | "count" | "limit">;

function bytesSteps(test: Test & { kind: "bytes" }, base: Base): Step[] {
  const parts = Math.ceil(test.value.length / stepValueBytes);
  return Array.from({ length: parts }, (_, index) => {
    const from = index * stepValueBytes;
    const value = test.value.subarray(from, from + stepValueBytes);
    const content = new Uint8Array(16);
    content.set(value, 0);
    content.set(test.mask.subarray(from, from + stepValueBytes), stepValueBytes);
    // A relative part begins where the part before it ended.
    const isRelative = (base.flags & flagRelative) !== 0;
    const at = isRelative && index > 0 ? 0 : base.at + (isRelative ? 0 : from);
    return { ...base, kind: kindBytes, at, count: value.length, content };
  });
}

function setContent(test: { set: Uint8Array; until?: Uint8Array }, setIndex: (set: Uint8Array) => number): Uint8Array {
  return words(setIndex(test.set), test.until === undefined ? nothing : setIndex(test.until));
}

function words(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value >>> 0, true);
  return new Uint8Array(view.buffer);
}

function putStep(view: DataView, at: number, step: Step): void {
  view.setUint8(at, step.kind);
  view.setUint8(at + 1, step.flags);
  view.setUint16(at + 2, step.at, true);
  view.setUint16(at + 4, step.count, true);
  view.setUint16(at + 6, step.limit, true);
  new Uint8Array(view.buffer).set(step.content, at + 8);
}

/** One bit for each byte value, lowest first. */
function putSet(view: DataView, at: number, cells: string): void {
  for (let byte = 0; byte < 256; byte++) {
    if (cells[byte] === "1") view.setUint8(at + (byte >> 3), view.getUint8(at + (byte >> 3)) | (1 << (byte & 7)));
  }
}
