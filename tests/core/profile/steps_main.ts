// SPDX-License-Identifier: Apache-2.0
// Makes a profile for both engines as a reload does, in a process that has made none, and prints how much of a CPU
// each step took, in microseconds: `bun steps_main.ts PROFILE.json`.
import process from "node:process";
import { makeSignatureTable, makeSniffer } from "../../../src/config/profile.ts";
import type { Work } from "../../../src/core/work.ts";

const [profile = ""] = process.argv.slice(2);

function* both(): Work<void> {
  yield* makeSniffer(profile);
  yield* makeSignatureTable(profile);
}

/** Of this thread: what others do at the same time does not count. */
function cpuUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

const tookUs: number[] = [];
for (const work = both(); ; ) {
  const startUs = cpuUs();
  const { done } = work.next();
  tookUs.push(cpuUs() - startUs);
  if (done === true) break;
}
console.log(JSON.stringify(tookUs));
