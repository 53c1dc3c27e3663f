// SPDX-License-Identifier: Apache-2.0
// Two pieces of bytes as one.

export function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
