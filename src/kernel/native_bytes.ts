// SPDX-License-Identifier: Apache-2.0
// Memory that C may see. Only with an ArrayBuffer of its own does it keep its address on Bun: a small
// `new Uint8Array(n)` moves when its buffer is first looked at, and C goes on writing to the old place.
import type { NativeBuffer } from "../runtime/types.ts";

export function nativeBytes(length: number): NativeBuffer {
  return new Uint8Array(new ArrayBuffer(length));
}

const encoder = new TextEncoder();

/** A NUL-terminated copy. */
export function cString(text: string): NativeBuffer {
  const encoded = encoder.encode(text);
  const copy = nativeBytes(encoded.length + 1);
  copy.set(encoded);
  return copy;
}
