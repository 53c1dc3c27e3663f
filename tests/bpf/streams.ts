// SPDX-License-Identifier: Apache-2.0
// Streams that come near to what rules look for: made to satisfy a rule, or to miss it by one; vectors that
// are damaged, cut or spliced; friends; noise. One buffer, no allocation for each. Seeded.
import type { Alternative, Term, Test } from "../../src/core/signature/term.ts";
import { pick, type Random } from "../harness/random.ts";
import { createFriends } from "../vectors/friends.ts";

export interface Streams {
  /** The generator's own, overwritten by the next call. */
  readonly bytes: Uint8Array;
  /** @returns how many of the bytes are the stream; at least one. */
  next(): number;
}

const capacity = 1024;
/** A little more than any rule of a table looks at. */
const longest = 280;

export interface StreamSources {
  readonly alternatives: readonly Alternative[];
  readonly vectors: readonly Uint8Array[];
}

export function createStreams(random: Random, { alternatives, vectors }: StreamSources): Streams {
  const bytes = new Uint8Array(capacity);
  const friends = createFriends(random(1 << 30));
  let length = 0;

  function noise(from: number, to: number): void {
    const kind = random(4);
    for (let at = from; at < to; at++)
      bytes[at] = kind === 0 ? random(256) : kind === 1 ? 0x20 + random(95) : kind === 2 ? 0 : random(4);
  }

  function member(set: Uint8Array): number {
    let byte = random(256);
    for (let count = 0; count < 256 && set[byte] === 0; count++) byte = (byte + 1) & 255;
    return byte;
  }

  function putBytes({ value, mask }: Test & { kind: "bytes" }, at: number): number {
    for (let index = 0; index < value.length; index++)
      bytes[at + index] = (value[index] ?? 0) | (random(256) & ~(mask[index] ?? 0));
    return at + value.length;
  }

  function putRun(test: Test & { kind: "run" | "rest" }, at: number): number {
    const off = random(6) === 0 ? random(3) - 1 : 0;
    const count = Math.max(0, test.min + random(Math.min(test.max - test.min, 40) + 1) + off);
    for (let index = 0; index < count; index++) bytes[at + index] = member(test.set);
    if (test.kind === "rest" || test.until === undefined) return at + count;
    bytes[at + count] = member(test.until);
    return at + count + 1;
  }

  /** Makes a test about a place hold, mostly. @returns where it ends; 0: it is about none. */
  function satisfy(test: Test, at: number): number {
    switch (test.kind) {
      case "bytes":
        return putBytes(test, at);
      case "run":
      case "rest":
        return putRun(test, at);
      case "number": {
        const within = random(Math.min(test.max - test.min + 1, 300));
        putNumber(test, at, test.min + (random(3) === 0 ? random(5) - 2 : within));
        return at + test.size;
      }
      default:
        return 0;
    }
  }

  function putNumber(test: Test & { kind: "number" }, at: number, value: number): void {
    let rest = Math.max(0, random(8) === 0 ? test.max + random(3) - 1 : value);
    for (let index = 0; index < test.size; index++) {
      bytes[test.little ? at + index : at + test.size - 1 - index] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  /** To what the length must be, or a neighbour of it. */
  function tieNumbers(terms: readonly Term[]): void {
    for (const { test, relative, at } of terms) {
      if (test.kind !== "number" || test.length === "free" || relative) continue;
      const off = random(3) === 0 ? random(5) - 2 : 0;
      putNumber(test, at, length - test.plus + off);
    }
  }

  /** Near a limit that the test sets to the length; 0: it sets none. */
  function limitOf(test: Test): number {
    if (test.kind !== "length" && test.kind !== "blocks") return 0;
    const low = test.kind === "length" ? test.min : test.after;
    return (random(2) === 0 && Number.isFinite(test.max) ? test.max : low) + random(4) - 1;
  }

  function follow(terms: readonly Term[]): void {
    noise(0, longest);
    let cursor = 0;
    let end = 1;
    for (const { test, negated, relative, at } of terms) {
      if (negated && random(4) > 0) continue;
      const next = satisfy(test, Math.min(at + (relative ? cursor : 0), longest));
      end = Math.max(end, limitOf(test), next);
      if (!negated && next > 0) cursor = next;
    }
    length = end + (random(2) === 0 ? 0 : random(60));
    tieNumbers(terms);
  }

  function copy(from: Uint8Array, start: number, to: number): number {
    const count = Math.min(from.length - start, capacity - to);
    for (let index = 0; index < count; index++) bytes[to + index] = from[start + index] ?? 0;
    return to + count;
  }

  function splice(): void {
    const [head, tail] = [pick(random, vectors), pick(random, vectors)];
    const cut = random(Math.min(head.length, longest)) + 1;
    copy(head, 0, 0);
    length = copy(tail, random(tail.length), cut);
  }

  /** Ciphertext of which more or less is something that an expert knows. */
  function blend(): void {
    length = 17 + random(100);
    const kind = random(7);
    const share = random(101);
    for (let at = 0; at < length; at++) {
      const back = (distance: number) => (at < distance ? 0 : (bytes[at - distance] ?? 0));
      const known = [
        0x61 + random(26),
        random(3) === 0 ? random(8) : 0,
        back(1) + random(2),
        at % 2 === 0 ? 0x41 + random(26) : 0,
        back(2) + random(3),
        back(random(2) === 0 ? 4 : 8),
        at % 2 === 0 ? 0xd0 + random(2) : 0x80 + random(64),
      ];
      bytes[at] = random(100) < share ? (known[kind] ?? 0) : random(256);
    }
  }

  function damage(): void {
    for (let count = random(4); count > 0; count--) {
      const at = random(Math.min(length, 40));
      const shift = random(3) + 1;
      switch (random(6)) {
        case 0:
          bytes[at] = random(256);
          break;
        case 1:
          bytes[at] = (bytes[at] ?? 0) + 1;
          break;
        case 2:
          bytes[at] = (bytes[at] ?? 0) - 1;
          break;
        case 3:
          bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
          break;
        case 4:
          bytes.copyWithin(at + shift, at, length);
          length += shift;
          break;
        default:
          if (length > at + shift) {
            bytes.copyWithin(at, at + shift, length);
            length -= shift;
          }
      }
    }
  }

  function make(): void {
    const kind = random(16);
    if (kind < 8) follow(pick(random, alternatives));
    else if (kind < 11) length = copy(pick(random, vectors), 0, 0);
    else if (kind < 13) splice();
    else if (kind < 14) length = copy(friends.next(), 0, 0);
    else if (kind < 15) blend();
    else {
      length = 1 + random(80);
      noise(0, length);
    }
  }

  return {
    bytes,
    next() {
      make();
      length = Math.min(length, longest);
      if (random(2) === 0) damage();
      if (random(3) === 0) length = 1 + random(length);
      length = Math.max(1, Math.min(length, longest));
      return length;
    },
  };
}
