// SPDX-License-Identifier: Apache-2.0
// One CPU of inline_beside.test.ts: sends its frame through the program whenever the other one does.
import { parentPort, workerData } from "node:worker_threads";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { runProgram } from "./test_run.ts";

export interface BesideData {
  readonly programFd: number;
  readonly frame: Uint8Array;
  /** The round to run, how many are ready for it, how many are done with it, then each one's verdict. */
  readonly shared: Int32Array;
  readonly place: number;
  readonly rounds: number;
}

export const [roundAt, readyAt, doneAt, verdictsAt] = [0, 1, 2, 3];

if (parentPort !== null) {
  const { programFd, frame, shared, place, rounds } = workerData as BesideData;
  const libraries = await openLibraries(native);
  const bytes = nativeBytes(frame.length);
  bytes.set(frame);
  for (let round = 1; round <= rounds; round++) {
    Atomics.wait(shared, roundAt, round - 1);
    Atomics.add(shared, readyAt, 1);
    while (Atomics.load(shared, readyAt) < 2 * round);
    Atomics.store(shared, verdictsAt + place, runProgram(libraries, programFd, bytes).verdict);
    Atomics.add(shared, doneAt, 1);
    Atomics.notify(shared, doneAt);
  }
}
