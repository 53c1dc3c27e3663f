// SPDX-License-Identifier: Apache-2.0
// How long this thread itself was at work: what a machine shared with others does not add to.
import { dlopen, ptr } from "bun:ffi";

/** linux/time.h */
const threadCpuTime = 3;

const { clock_gettime } = dlopen("libc.so.6", {
  clock_gettime: { args: ["int", "ptr"], returns: "int" },
}).symbols;
const time = new BigInt64Array(2);
const timePointer = ptr(time);

/** CPU time of the calling thread in milliseconds. */
export function threadMs(): number {
  clock_gettime(threadCpuTime, timePointer);
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

export interface Pieces {
  /** CPU time of the thread between two turns of the event loop, at most, in milliseconds. */
  readonly longestMs: number;
  /** In all. */
  readonly cpuMs: number;
}

/** What somebody else who uses the same event loop has to wait for while something goes on. */
export async function piecesOf(work: () => Promise<unknown>): Promise<Pieces> {
  const startMs = threadMs();
  let isOver = false;
  let longestMs = 0;
  const done = work().finally(() => {
    isOver = true;
  });
  for (let lastMs = threadMs(); !isOver; ) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const now = threadMs();
    longestMs = Math.max(longestMs, now - lastMs);
    lastMs = now;
  }
  await done;
  return { longestMs, cpuMs: threadMs() - startMs };
}
