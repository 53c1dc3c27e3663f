// SPDX-License-Identifier: Apache-2.0
// What the fuzzer kept, tried again; and a little fuzzing of its own.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createRandom, pick } from "../harness/random.ts";
import { bytesOf, loadVectors } from "../vectors/vectors.ts";
import { checkBytes, checkProfile, checkRecordings } from "./checks.ts";
import { grownRule, mutateBytes, mutateJson } from "./mutate.ts";

const vectors = loadVectors().map(({ bytes }) => bytes);

function corpus<T>(name: string): T[] {
  const text = readFileSync(`${import.meta.dirname}/corpus/${name}.jsonl`, "utf8");
  const entries: T[] = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(entries.length).toBeGreaterThan(3);
  return entries;
}

describe("the corpus", () => {
  test("streams", () => {
    for (const hex of corpus<string>("streams")) checkBytes(bytesOf(undefined, hex));
  });
  test("profiles", () => {
    for (const source of corpus("profiles")) checkProfile(source, vectors.slice(0, 5));
  }, 60_000);
  test("recordings", () => {
    for (const lines of corpus<string[]>("recordings")) checkRecordings(lines);
  });
});

test("100 new streams and profiles", () => {
  const random = createRandom(20_260_101);
  for (let count = 0; count < 100; count++) {
    const stream = mutateBytes(random, pick(random, vectors), pick(random, vectors));
    checkBytes(stream);
    checkProfile(mutateJson(random, { expect: grownRule(random, 3) }), [stream]);
    checkProfile({ expect: grownRule(random, 3), default: "undecided" }, [stream]);
  }
}, 60_000);
