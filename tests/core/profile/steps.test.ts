// SPDX-License-Identifier: Apache-2.0
// A profile is made in steps, between which connections have their turn: no step is a large part of the whole.
import { expect, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { run } from "../../harness/child.ts";
import { TempDir } from "../../harness/temp_dir.ts";

/** What a connection may wait for a reload. */
const mostUs = 20_000;

async function stepsOf(profile: string): Promise<readonly number[]> {
  const { code, stdout, stderr } = await run([process.execPath, join(import.meta.dirname, "steps_main.ts"), profile]);
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as number[];
}

test("a profile of a file is made in steps, none of which is a large part of the whole", async () => {
  using directory = new TempDir();
  const profile = directory.write("own.json", JSON.stringify(profileLibrary.get("http")));
  const first = await stepsOf(profile);
  const others = [await stepsOf(profile), await stepsOf(profile)];
  expect(first.length).toBeGreaterThan(10_000);
  // A collection of garbage falls into one step or another, and hardly into the same one three times.
  const least = first.map((us, index) => Math.min(us, ...others.map((other) => other[index] ?? us)));
  const wholeUs = least.reduce((sum, us) => sum + us, 0);
  expect(wholeUs).toBeGreaterThan(0);
  // The first one makes the parser of all that may stand in a profile, once in a process.
  const [reading = 0, ...steps] = least;
  expect(reading).toBeLessThan(mostUs);
  expect(Math.max(...steps)).toBeLessThan(wholeUs / 3);
}, 30_000);
