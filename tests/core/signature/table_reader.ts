// SPDX-License-Identifier: Apache-2.0
// Reads and runs a signature table as the BPF program does: from the bytes alone, with fixed-size
// reads. Written apart from the encoder and the matcher, so that agreement between them means something.

import { plainVerdict } from "../ciphertext/plain_bets.ts";

export interface TableVerdict {
  /** Owners of alternatives that refute and hold. */
  readonly refuters: readonly number[];
  /** 1: as expected; -1: not; 0: open, or the table does not say. */
  readonly expected: -1 | 0 | 1;
}

type Truth = -1 | 0 | 1;

export function runTable(table: Uint8Array, bytes: Uint8Array): TableVerdict {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const word = (index: number) => view.getUint32(index * 4, true);
  if (word(0) !== 0x73746774 || word(1) !== 5) throw new Error("Run signature table: not a table of version 5");
  const [hasExpected, alternativesAt, stepsAt, setsAt, dispatchAt, listsAt] = [
    word(2),
    word(5),
    word(7),
    word(9),
    word(10),
    word(11),
  ];
  const inSet = (set: number, byte: number) => ((table[setsAt + set * 32 + (byte >> 3)] ?? 0) >> (byte & 7)) & 1;

  let cursor = -1;

  function numberAt(step: number, at: number): Truth {
    const size = view.getUint16(step + 4, true);
    if (bytes.length < at + size) return 0;
    let value = 0;
    for (let index = 0; index < size; index++) {
      const isLittle = (view.getUint8(step + 1) & 4) !== 0;
      value = value * 256 + (bytes[isLittle ? at + size - 1 - index : at + index] ?? 0);
    }
    if (value < view.getUint32(step + 8, true) || value > view.getUint32(step + 12, true)) return -1;
    cursor = at + size;
    const relation = view.getUint16(step + 6, true);
    const total = value + view.getInt32(step + 16, true);
    if (relation === 0) return 1;
    if (relation === 1) return bytes.length > total ? -1 : 0;
    return bytes.length >= total ? 1 : 0;
  }

  function bytesAt(step: number, at: number): Truth {
    const count = view.getUint16(step + 4, true);
    for (let index = 0; index < count; index++) {
      const byte = bytes[at + index];
      if (byte === undefined) return 0;
      if ((byte & view.getUint8(step + 16 + index)) !== view.getUint8(step + 8 + index)) return -1;
    }
    cursor = at + count;
    return 1;
  }

  function runAt(step: number, at: number, toEnd: boolean): Truth {
    const [min, max] = [view.getUint16(step + 4, true), view.getUint16(step + 6, true)];
    const [set, until] = [view.getUint32(step + 8, true), view.getUint32(step + 12, true)];
    for (let index = at; index < bytes.length; index++) {
      const byte = bytes[index] ?? 0;
      if (!toEnd && until !== 0xffff && inSet(until, byte) === 1) {
        cursor = index + 1;
        return index - at >= min ? 1 : -1;
      }
      if (index - at >= max || inSet(set, byte) === 0) return -1;
      if (!toEnd && until === 0xffff && index - at === min - 1) return 1;
    }
    return 0;
  }

  function ciphertextAt(header: number, shortest: number, step: number): Truth {
    const [start, shift] = [view.getUint32(step + 8, true), view.getUint32(step + 12, true)];
    const limit = 0x8000 - start;
    const { kind } = plainVerdict(bytes, { header, shortest, limit, margin: shift - limit + 1 });
    return kind === "open" ? 0 : kind === "uniform" ? 1 : -1;
  }

  function stepTruth(step: number): Truth {
    const isRelative = (view.getUint8(step + 1) & 2) !== 0;
    if (isRelative && cursor < 0) return 0;
    const at = view.getUint16(step + 2, true) + (isRelative ? cursor : 0);
    const kind = view.getUint8(step);
    const [count, limit] = [view.getUint16(step + 4, true), view.getUint16(step + 6, true)];
    if (kind <= 4) cursor = -1;
    switch (kind) {
      case 1:
        return bytesAt(step, at);
      case 2:
      case 3:
        return runAt(step, at, kind === 3);
      case 4:
        return numberAt(step, at);
      case 5:
        if (limit !== 0xffff && bytes.length > limit) return -1;
        return limit === 0xffff && bytes.length >= count ? 1 : 0;
      case 6:
        return bytes.length > limit ? -1 : 0;
      case 7:
        return ciphertextAt(at, count, step);
      default:
        throw new Error(`Run signature table: step kind ${kind} is unknown`);
    }
  }

  function signedTruth(step: number): Truth {
    const before = cursor;
    const found = stepTruth(step);
    if ((view.getUint8(step + 1) & 1) === 0) return found;
    cursor = before;
    return found === 0 ? 0 : found === 1 ? -1 : 1;
  }

  function alternativeTruth(alternative: number): Truth {
    const at = alternativesAt + alternative * 16;
    const first = view.getUint16(at, true);
    for (const pivot of [at + 8, at + 12]) {
      const [place, set] = [view.getUint16(pivot, true), view.getUint16(pivot + 2, true)];
      if (place < bytes.length && inSet(set, bytes[place] ?? 0) === 0) return -1;
    }
    let truth: Truth = 1;
    cursor = -1;
    for (let index = 0; index < view.getUint8(at + 2); index++) {
      const found = signedTruth(stepsAt + (first + index) * 24);
      if (found === -1) return -1;
      if (found === 0) truth = 0;
    }
    return truth;
  }

  const refuters: number[] = [];
  let expected: Truth = hasExpected === 1 ? -1 : 0;
  const dispatch = dispatchAt + (bytes[0] ?? 0) * 4;
  for (let index = 0; index < view.getUint16(dispatch + 2, true); index++) {
    const alternative = view.getUint16(listsAt + (view.getUint16(dispatch, true) + index) * 2, true);
    const at = alternativesAt + alternative * 16;
    const flags = view.getUint8(at + 3);
    const truth = alternativeTruth(alternative);
    if ((flags & 1) !== 0 && truth === 1) refuters.push(view.getUint16(at + 4, true));
    if ((flags & 2) !== 0 && truth > expected) expected = truth;
  }
  return { refuters, expected };
}
