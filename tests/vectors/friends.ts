// SPDX-License-Identifier: Apache-2.0
// Random first packets of a friend of the `tapetrack` profile: ciphertext, bare or after a clear header
// of up to 16 bytes of magic, version, length and flags in many layouts. Seeded, so that a failure can
// be repeated.

const magics = [
  "TT",
  "tt",
  "TTS",
  "TT01",
  "TTRK",
  "TAPE",
  "tape",
  "TAPETRCK",
  "TapeTrk1",
  "TAPETRACK",
  "tapetrack",
  "TapeTrack Server",
];
const binaryMagics = [
  [0xca, 0xfe, 0xba, 0xbe],
  [0x54, 0x54, 0x00, 0x01],
  [0x01],
  [0x7f],
  [0xaa, 0x55],
  [0x1f, 0x8b],
  [0x00, 0x01],
];

/** What is public of TapeTrack's wire. */
const shortestBytes = 44;

export interface Friends {
  /** One packet; the buffer is the generator's own and is overwritten by the next call. */
  next(): Uint8Array;
}

/** A generator of numbers below 2^32 (xorshift128, Marsaglia 2003), because Math.random has no seed. */
export function createRandom(seed: number): () => number {
  let [x, y, z, w] = [seed * 2 + 1, 362_436_069, 521_288_629, 88_675_123];
  const next = () => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return w >>> 0;
  };
  for (let index = 0; index < 64; index++) next();
  return next;
}

/** @param below gives a random number below its argument. */
export function randomMagic(below: (limit: number) => number): readonly number[] {
  const isText = below(3) > 0;
  return isText
    ? Array.from(magics[below(magics.length)] ?? "", (character) => character.charCodeAt(0))
    : (binaryMagics[below(binaryMagics.length)] ?? []);
}

export function createFriends(seed: number): Friends {
  const random = createRandom(seed);
  const below = (limit: number) => random() % limit;
  const buffer = new Uint8Array(2048);
  const words = new Uint32Array(buffer.buffer);
  const view = new DataView(buffer.buffer);

  function putHeader(total: number): number {
    let at = 0;
    const magic = () => {
      for (const byte of randomMagic(below).slice(0, 16 - at)) buffer[at++] = byte;
    };
    const integer = (value: number) => {
      const size = 1 << below(3);
      if (at + size > 16) return;
      const isLittle = below(2) === 0;
      if (size === 1) view.setUint8(at, value);
      else if (size === 2) view.setUint16(at, value, isLittle);
      else view.setUint32(at, value, isLittle);
      at += size;
    };
    const version = () => (below(4) === 0 ? textVersion() : integer(below(12)));
    const textVersion = () => {
      if (at < 16) buffer[at++] = 0x30 + below(10);
    };
    const length = () => integer(total - below(17));
    const fields = [magic, version, length, version];
    for (let count = 1 + below(4); count > 0; count--) fields[below(fields.length)]?.();
    return at;
  }

  return {
    next() {
      const payload = shortestBytes - 16 + below(1433);
      const end = payload + 32;
      for (let index = 0; index * 4 < end; index++) words[index] = random();
      const header = below(2) === 0 ? 0 : putHeader(payload);
      return buffer.subarray(0, Math.max(shortestBytes, Math.min(header + payload, 1460)));
    },
  };
}
