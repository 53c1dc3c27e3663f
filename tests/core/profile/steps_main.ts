// SPDX-License-Identifier: Apache-2.0
// Makes a profile for both engines as a reload does, in a process that has made none, and prints how long each step
// took, in milliseconds: `bun steps_main.ts PROFILE.json`.
import process from "node:process";
import { makeSignatureTable, makeSniffer } from "../../../src/config/profile.ts";
import type { Work } from "../../../src/core/work.ts";

const [profile = ""] = process.argv.slice(2);

function* both(): Work<void> {
  yield* makeSniffer(profile);
  yield* makeSignatureTable(profile);
}

const tookMs: number[] = [];
for (const work = both(); ; ) {
  const startMs = performance.now();
  const { done } = work.next();
  tookMs.push(performance.now() - startMs);
  if (done === true) break;
}
console.log(JSON.stringify(tookMs));
