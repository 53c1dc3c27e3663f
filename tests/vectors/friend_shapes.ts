// SPDX-License-Identifier: Apache-2.0
// Friends of one site: unlike friends.ts, all packets of a shape have the same header, in which only the
// length and the counter move. Seeded, so that a failure can be repeated.
import { createRandom, type Friends, randomMagic } from "./friends.ts";

type Field =
  | { readonly kind: "constant"; readonly bytes: readonly number[] }
  /** What the packet's length less `less` is. */
  | { readonly kind: "length"; readonly size: 2 | 4; readonly isLittle: boolean; readonly less: number }
  | { readonly kind: "counter"; readonly size: 2 | 4; readonly isLittle: boolean };

export interface FriendShape {
  /** `bare`, or the fields: `TT01, length 4 big less 8`. */
  readonly words: string;
  /** Packets of this shape; another seed gives others. */
  friends(seed: number): Friends;
}

const headerLimitBytes = 16;
/** No friend of TapeTrack sends fewer bytes. */
const leastPayload = 44;
const greatestPayload = 1460 - headerLimitBytes;

/** One shape for each number; 0 is bare ciphertext. */
export function friendShape(number: number): FriendShape {
  const fields = number === 0 ? [] : fieldsOf(number);
  const headerBytes = fields.reduce((sum, field) => sum + sizeOf(field), 0);
  const words = fields.length === 0 ? "bare" : fields.map(wordsOf).join(", ");
  return { words, friends: (seed) => packetsOf(fields, headerBytes, seed) };
}

function fieldsOf(number: number): Field[] {
  const random = createRandom(number);
  const below = (limit: number) => random() % limit;
  const size = () => (below(2) === 0 ? 2 : 4);
  const makers: (() => Field)[] = [
    () => ({ kind: "constant", bytes: randomMagic(below) }),
    () => ({ kind: "constant", bytes: [0, below(12)] }),
    () => ({ kind: "length", size: size(), isLittle: below(2) === 0, less: below(headerLimitBytes + 1) }),
    () => ({ kind: "counter", size: size(), isLittle: below(2) === 0 }),
  ];
  const fields: Field[] = [];
  let bytes = 0;
  for (let count = 1 + below(4); count > 0; count--) {
    const field = makers[below(makers.length)]?.();
    if (field === undefined || bytes + sizeOf(field) > headerLimitBytes) continue;
    // One length and one counter at most, as protocols have it.
    if (field.kind !== "constant" && fields.some(({ kind }) => kind === field.kind)) continue;
    fields.push(field);
    bytes += sizeOf(field);
  }
  return fields;
}

function sizeOf(field: Field): number {
  return field.kind === "constant" ? field.bytes.length : field.size;
}

function wordsOf(field: Field): string {
  if (field.kind === "constant") return field.bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const name = `${field.kind} ${field.size} ${field.isLittle ? "little" : "big"}`;
  return field.kind === "length" ? `${name} less ${field.less}` : name;
}

function packetsOf(fields: readonly Field[], headerBytes: number, seed: number): Friends {
  const random = createRandom(seed);
  const buffer = new Uint8Array(2048);
  const words = new Uint32Array(buffer.buffer);
  const view = new DataView(buffer.buffer);
  let counter = random() % 60_000;

  function put(at: number, field: Field, total: number): void {
    if (field.kind === "constant") {
      buffer.set(field.bytes, at);
      return;
    }
    const value = field.kind === "length" ? total - field.less : counter;
    if (field.size === 2) view.setUint16(at, value, field.isLittle);
    else view.setUint32(at, value, field.isLittle);
  }

  return {
    next() {
      const total = headerBytes + leastPayload + (random() % (greatestPayload - leastPayload + 1));
      for (let index = 0; index * 4 < total; index++) words[index] = random();
      counter++;
      let at = 0;
      for (const field of fields) {
        put(at, field, total);
        at += sizeOf(field);
      }
      return buffer.subarray(0, total);
    },
  };
}
