// SPDX-License-Identifier: Apache-2.0
// Bytes to a descriptor of this process, whole and at once, also where it does not block.
import { writeSync } from "node:fs";
import { codeOf } from "../failure.ts";

/** How long to wait for a slow reader of a pipe that does not block. */
const retryMs = 5;

/** @throws Error with `code`: EPIPE when the reader is gone. */
export function writeAll(fd: number, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }
}
