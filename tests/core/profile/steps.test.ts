// SPDX-License-Identifier: Apache-2.0
// A profile is made in steps, between which connections have their turn: no step is a large part of the whole.
import { expect, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { run } from "../../harness/child.ts";
import { TempDir } from "../../harness/temp_dir.ts";

async function stepsOf(profile: string): Promise<readonly number[]> {
  const { code, stdout, stderr } = await run([process.execPath, join(import.meta.dirname, "steps_main.ts"), profile]);
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as number[];
}

test("a profile of a file is made in steps, none of which takes more than a sixth of the whole", async () => {
  using directory = new TempDir();
  const profile = directory.write("own.json", JSON.stringify(profileLibrary.get("http")));
  const first = await stepsOf(profile);
  const others = [await stepsOf(profile), await stepsOf(profile)];
  expect(first.length).toBeGreaterThan(10_000);
  // A busy host interrupts one step or another, and hardly the same one three times.
  const least = first.map((ms, index) => Math.min(ms, ...others.map((other) => other[index] ?? ms)));
  const wholeMs = least.reduce((sum, ms) => sum + ms, 0);
  expect(wholeMs).toBeGreaterThan(0);
  expect(Math.max(...least)).toBeLessThan(wholeMs / 6);
}, 30_000);
