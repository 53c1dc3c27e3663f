// SPDX-License-Identifier: Apache-2.0
// Runs a program over a prefix in three-valued logic: a step holds, fails, or cannot be decided yet.
// What is decided stays decided whatever follows, which makes verdicts independent of how TCP cut the
// bytes. "At" counts the bytes that decided, the end of the stream being one more. No allocation.
import { fails, holds, missing, type Outcome, open } from "./probe.ts";
import {
  flagNegated,
  flagRelative,
  kindBits,
  lastPlacedStep,
  lengthEquals,
  lengthFree,
  noMaximum,
  type Program,
  startCells,
  stepBlocks,
  stepBytes,
  stepCells,
  stepLength,
  stepNumber,
  stepProbe,
  stepRest,
  stepRun,
} from "./program.ts";

export type Matcher = (alternative: number, bytes: Uint8Array, length: number, ended: boolean) => Outcome;

export function createMatcher(program: Program): Matcher {
  const { steps, starts, data, probes } = program;
  /** Where the last step that holds ended; -1 where that is open. */
  let cursor = -1;

  const cell = (index: number) => steps[index] ?? 0;
  const startCell = (index: number) => starts[index] ?? 0;
  const datum = (index: number) => data[index] ?? 0;

  function bytesAt(step: number, at: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const value = cell(step + 2);
    const count = cell(step + 3);
    const mask = cell(step + 4);
    const present = Math.min(count, length - at);
    for (let index = 0; index < present; index++) {
      if (((bytes[at + index] ?? 0) & datum(mask + index)) !== data[value + index]) return fails(at + index + 1);
    }
    if (present < count) return missing(length, ended);
    cursor = at + count;
    return holds(cursor);
  }

  function runAt(step: number, at: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const set = cell(step + 2);
    const min = cell(step + 3);
    const max = cell(step + 4);
    const until = cell(step + 5);
    const stop = at + max;
    for (let index = at; index < length; index++) {
      const byte = bytes[index] ?? 0;
      if (until >= 0 && data[until + byte] === 1) {
        if (index < at + min) return fails(index + 1);
        cursor = index + 1;
        return holds(cursor);
      }
      if (index >= stop || data[set + byte] === 0) return fails(index + 1);
      if (until < 0 && index === stop - 1) return holds(stop);
    }
    return missing(length, ended);
  }

  function restAt(step: number, at: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const set = cell(step + 2);
    const min = cell(step + 3);
    const stop = at + cell(step + 4);
    for (let index = at; index < length; index++) {
      if (index >= stop || datum(set + (bytes[index] ?? 0)) === 0) return fails(index + 1);
    }
    if (!ended) return open;
    return length - at >= min ? holds(length + 1) : fails(length + 1);
  }

  function numberAt(step: number, at: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const signedSize = cell(step + 2);
    const size = Math.abs(signedSize);
    const end = at + size;
    if (length < end) return missing(length, ended);
    let value = 0;
    for (let index = 0; index < size; index++) {
      const offset = signedSize < 0 ? end - 1 - index : at + index;
      value = value * 256 + (bytes[offset] ?? 0);
    }
    if (value < cell(step + 3) >>> 0 || value > cell(step + 4) >>> 0) return fails(end);
    cursor = end;
    const relation = cell(step + 5);
    if (relation === lengthFree) return holds(end);
    return tiedTo(value + cell(step + 6), relation, end, length, ended);
  }

  function tiedTo(total: number, relation: number, end: number, length: number, ended: boolean): Outcome {
    if (relation === lengthEquals) {
      if (length > total) return fails(Math.max(end, total + 1));
      if (!ended) return open;
      return length === total ? holds(length + 1) : fails(length + 1);
    }
    return length >= total ? holds(Math.max(end, total)) : missing(length, ended);
  }

  function lengthIs(step: number, length: number, ended: boolean): Outcome {
    const min = cell(step + 2);
    const max = cell(step + 3);
    if (length > max) return fails(max + 1);
    if (max === noMaximum) return length >= min ? holds(min) : missing(length, ended);
    if (!ended) return open;
    return length >= min ? holds(length + 1) : fails(length + 1);
  }

  function blocksAre(step: number, length: number, ended: boolean): Outcome {
    const size = cell(step + 2);
    const after = cell(step + 3);
    const max = cell(step + 4);
    if (length > max) return fails(max + 1);
    if (!ended) return open;
    return length > after && (length - after) % size === 0 ? holds(length + 1) : fails(length + 1);
  }

  function run(step: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const head = cell(step);
    let at = cell(step + 1);
    const kind = head & kindBits;
    if ((head & flagRelative) !== 0) {
      if (cursor < 0) return open;
      at += cursor;
    }
    // A step about a place sets it again as soon as it knows where it ends.
    if (kind <= lastPlacedStep) cursor = -1;
    switch (kind) {
      case stepBytes:
        return bytesAt(step, at, bytes, length, ended);
      case stepRun:
        return runAt(step, at, bytes, length, ended);
      case stepRest:
        return restAt(step, at, bytes, length, ended);
      case stepNumber:
        return numberAt(step, at, bytes, length, ended);
      case stepLength:
        return lengthIs(step, length, ended);
      case stepBlocks:
        return blocksAre(step, length, ended);
      case stepProbe:
        return probes[cell(step + 2)]?.run(bytes, length, ended) ?? open;
      default:
        throw new Error(`Run signature step: kind ${kind} is unknown`);
    }
  }

  /** The next relative step does not begin at what must not be there. */
  function negated(step: number, bytes: Uint8Array, length: number, ended: boolean): Outcome {
    const before = cursor;
    const outcome = run(step, bytes, length, ended);
    cursor = before;
    return -outcome;
  }

  /** The pivot settles most alternatives with one look. */
  function missesPivot(start: number, bytes: Uint8Array, length: number): boolean {
    const pivot = startCell(start + 1);
    return pivot < length && data[startCell(start + 2) + (bytes[pivot] ?? 0)] === 0;
  }

  return (alternative, bytes, length, ended) => {
    const start = alternative * startCells;
    if (missesPivot(start, bytes, length)) return fails(startCell(start + 1) + 1);
    const end = startCell(start + startCells);
    let latest = 1;
    let isOpen = false;
    cursor = -1;
    for (let step = startCell(start); step < end; step += stepCells) {
      const isNegated = (cell(step) & flagNegated) !== 0;
      const outcome = isNegated ? negated(step, bytes, length, ended) : run(step, bytes, length, ended);
      if (outcome < 0) return outcome;
      if (outcome === open) isOpen = true;
      else if (outcome > latest) latest = outcome;
    }
    return isOpen ? open : latest;
  };
}
