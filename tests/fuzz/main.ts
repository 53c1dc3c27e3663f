// SPDX-License-Identifier: Apache-2.0
// Fuzzes matcher, language and learning: `bun tests/fuzz/main.ts [--seconds 60] [--seed 1]`. Feedback is
// what an input exercised (verdicts and where they fell, problems, findings): an input that shows
// something new joins the corpus, which is kept in corpus/ and tried again by corpus.test.ts.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { createRandom, pick } from "../harness/random.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { checkBytes, checkProfile, checkRecordings } from "./checks.ts";
import { grownRule, mutateBytes, mutateJson } from "./mutate.ts";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string", default: "1" } },
});
const random = createRandom(Number(values.seed));
const hangMs = 2000;
const corpusLimit = 300;
/** Longer inputs are tried and not kept: the corpus is read by people too. */
const keptCharacters = 9000;

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const vectors = loadVectors().map(({ bytes }) => bytes);

interface Target<T> {
  readonly name: string;
  readonly corpus: T[];
  next(): T;
  check(input: T): string;
}

function load<T>(name: string, seeds: readonly T[]): T[] {
  try {
    const text = readFileSync(`${import.meta.dirname}/corpus/${name}.jsonl`, "utf8");
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  } catch {
    return [...seeds];
  }
}

const streams = load<string>("streams", []);
const profiles = load<unknown>("profiles", [...profileLibrary.values()]);
const recordings = load<readonly string[]>("recordings", [[]]);

/** A vector, or what was kept. */
function known(): Uint8Array {
  return streams.length > 0 && random(2) === 0 ? bytesOf(pick(random, streams)) : pick(random, vectors);
}

const bytesTarget: Target<string> = {
  name: "streams",
  corpus: streams,
  next: () => hexOf(mutateBytes(random, known(), random(2) === 0 ? pick(random, vectors) : known())),
  check: (hex) => checkBytes(bytesOf(hex)),
};

const profileTarget: Target<unknown> = {
  name: "profiles",
  corpus: profiles,
  next() {
    if (random(2) === 0) return mutateJson(random, pick(random, profiles));
    const own =
      random(3) === 0
        ? { recognisers: [{ name: pick(random, ["mine", "ssh", "Mine"]), rules: [grownRule(random, 2)] }] }
        : {};
    return { expect: grownRule(random, 3), default: pick(random, ["foreign", "accept", "undecided"]), ...own };
  },
  check: (source) =>
    checkProfile(source, [pick(random, vectors), mutateBytes(random, pick(random, vectors), pick(random, vectors))]),
};

/** What a crash or an editor leaves of a line. */
function mutatedText(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return new TextDecoder().decode(mutateBytes(random, bytes, pick(random, vectors))).replaceAll("\n", " ");
}

const recordingsTarget: Target<readonly string[]> = {
  name: "recordings",
  corpus: recordings,
  next() {
    const head = pick(random, vectors).subarray(0, random(24));
    const isCounted = random(2) === 0;
    return Array.from({ length: 25 + random(15) }, (_, index) => {
      const tail = Array.from({ length: random(40) }, () => random(256));
      const bytes = Uint8Array.from([...head, ...(isCounted ? [0, tail.length] : []), ...tail]);
      const server = pick(random, ["accepted", "accepted", "accepted", "refused", "unknown", "perhaps"]);
      const line = {
        atMs: 1.8e12 + index,
        hex: hexOf(bytes),
        totalBytes: bytes.length + (random(20) === 0 ? random(9) - 2 : 0),
        server,
      };
      const text = JSON.stringify(random(30) === 0 ? mutateJson(random, line) : line);
      return random(30) === 0 ? mutatedText(text) : text;
    });
  },
  check: checkRecordings,
};

const seen = new Set<string>();
const tally = { inputs: 0, found: 0 };

function attempt<T>(target: Target<T>, input: T): void {
  const startedMs = performance.now();
  let shown: string;
  try {
    shown = target.check(input);
  } catch (error) {
    console.error(`${target.name}: ${String(error)}\n${JSON.stringify(input)}`);
    throw error;
  }
  if (performance.now() - startedMs > hangMs)
    throw new Error(`${target.name} takes longer than ${hangMs} ms: ${JSON.stringify(input)}`);
  tally.inputs++;
  const key = `${target.name} ${shown}`;
  if (seen.has(key)) return;
  seen.add(key);
  if (target.corpus.includes(input) || target.corpus.length >= corpusLimit) return;
  target.corpus.push(input);
  tally.found++;
}

function round<T>(target: Target<T>, count: number): void {
  for (let index = 0; index < count; index++) attempt(target, target.next());
}

/** Every minute, so that a run that is stopped leaves what it found. */
const saveEveryMs = 60_000;

function save(): void {
  for (const { name, corpus } of [bytesTarget, profileTarget, recordingsTarget]) {
    const lines = corpus.map((input) => JSON.stringify(input)).filter((line) => line.length <= keptCharacters);
    writeFileSync(`${import.meta.dirname}/corpus/${name}.jsonl`, `${lines.join("\n")}\n`);
  }
}

const endMs = Number(values.seconds) * 1000;
for (const bytes of vectors) seen.add(`${bytesTarget.name} ${checkBytes(bytes)}`);
for (const hex of [...streams]) attempt(bytesTarget, hex);
for (const source of [...profiles]) attempt(profileTarget, source);
for (const lines of [...recordings]) attempt(recordingsTarget, lines);
// CPU time, so that a busy machine fuzzes as much as an idle one.
let savedMs = 0;
for (let usedMs = 0; usedMs < endMs; usedMs = process.cpuUsage().user / 1000) {
  round(bytesTarget, 50);
  round(profileTarget, 20);
  round(recordingsTarget, 1);
  if (usedMs - savedMs < saveEveryMs) continue;
  save();
  savedMs = usedMs;
}
save();
console.log(
  JSON.stringify({ ...tally, behaviours: seen.size, corpus: [streams.length, profiles.length, recordings.length] }),
);
