// SPDX-License-Identifier: Apache-2.0
// Bytes to a descriptor of this process, whole, also where it takes a part at a time or does not block.
import { write, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { codeOf } from "../failure.ts";

/** How long to wait for a slow reader of a pipe that does not block. */
const retryMs = 20;
/** The same, while nothing else is done in this process. */
const blockedRetryMs = 5;
const writeToFile = promisify(write);

/** @returns how many of the bytes it took. */
export type WriteSome = (bytes: Uint8Array) => Promise<number>;

/** @throws Error: the reader is gone, the disk full. */
export async function put(bytes: Uint8Array, writeSome: WriteSome): Promise<void> {
  for (let rest = bytes; rest.length > 0; ) {
    try {
      rest = rest.subarray(await writeSome(rest));
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw error;
      await setTimeout(retryMs);
    }
  }
}

export async function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  return (await writeToFile(fd, bytes)).bytesWritten;
}

export function writeBytes(fd: number, bytes: Uint8Array): Promise<void> {
  return put(bytes, (rest) => writeSome(fd, rest));
}

/** @throws Error with `code`: EPIPE when the reader is gone. */
export function writeAll(fd: number, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockedRetryMs);
    }
  }
}
