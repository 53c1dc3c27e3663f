// SPDX-License-Identifier: Apache-2.0
// Friends whose clear header is what a recogniser comes nearest to by chance: up to 16 bytes of zeros, small
// numbers, flags and lengths, of 1 to 8 bytes in either order, and behind it ciphertext. Seeded.
import { createRandom, type Friends } from "./friends.ts";

const shortestBytes = 44;
const longestHeaderBytes = 16;
const sizes = [1, 2, 4, 8] as const;

export function createNumberHeaders(seed: number): Friends {
  const random = createRandom(seed);
  const below = (limit: number) => random() % limit;
  const buffer = new Uint8Array(512);
  const words = new Uint32Array(buffer.buffer);
  const view = new DataView(buffer.buffer);

  function number(total: number): number {
    switch (below(4)) {
      case 0:
        return 0;
      case 1:
        return below(4);
      case 2:
        return below(40);
      default:
        return total - below(17);
    }
  }

  function put(at: number, size: (typeof sizes)[number], value: number): void {
    buffer.fill(0, at, at + size);
    // Numbers are below 65,536, so that two bytes hold them.
    if (size === 1) buffer[at] = value;
    else if (below(2) === 0) view.setUint16(at, value, true);
    else view.setUint16(at + size - 2, value);
  }

  return {
    next() {
      const total = shortestBytes + below(400);
      for (let index = 0; index * 4 < total; index++) words[index] = random();
      const headerBytes = below(longestHeaderBytes + 1);
      for (let at = 0; ; ) {
        const size = sizes[below(sizes.length)] ?? 1;
        if (at + size > headerBytes) break;
        put(at, size, number(total));
        at += size;
      }
      return buffer.subarray(0, total);
    },
  };
}
