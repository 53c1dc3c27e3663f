// SPDX-License-Identifier: Apache-2.0
// What stands for a protocol's name where there is no room for text: in the entries of the kernel's maps.

/** FNV-1a, 32 bits, of the name's UTF-8: what stands for a protocol in an entry. */
export function reasonHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** What stands for a protocol in a ban that a person or a list asked for. */
export const manual = "manual";
