// SPDX-License-Identifier: Apache-2.0
// The comparison of both engines for as long as wanted:
// `bun tests/bpf/agreement_main.ts [--streams 1000000] [--seed 1] [--reading helpers|pointers]`, as root. Half
// of the streams go through the built-in profiles, the others through grown ones, 400 each. Prints one
// JSON object; fails with the seed and the stream when the engines differ.
import process from "node:process";
import { parseArgs } from "node:util";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { inlineProfiles } from "../vectors/inline_profiles.ts";
import { compareBuiltIn, compareGrown, emptyTally, streamsOfGrown } from "./agreement_run.ts";
import { openEngine } from "./inline.ts";

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    reading: { type: "string", default: "helpers" },
  },
});
const streams = Number(values.streams);
const firstSeed = Number(values.seed);

const libraries = await openLibraries(native);
using engine = openEngine(libraries, values.reading === "pointers" ? "pointers" : "helpers");
const tally = emptyTally();
const startedMs = performance.now();
for (const name of inlineProfiles)
  compareBuiltIn(name, firstSeed, Math.ceil(streams / 2 / inlineProfiles.length), [engine], tally);
for (let seed = firstSeed; tally.streams < streams; seed++) compareGrown(seed, streamsOfGrown, [engine], tally);
const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
process.stdout.write(`${JSON.stringify({ ...tally, seconds })}\n`);
