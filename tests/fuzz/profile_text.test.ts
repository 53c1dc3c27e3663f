// SPDX-License-Identifier: Apache-2.0
// Profile files that somebody got wrong, as TOML and as JSON: each is loaded or answered by one line that names the
// file and what is wrong in it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { stringify } from "smol-toml";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { ttgate } from "../commands/fake_env.ts";
import { pick, type Random } from "../harness/random.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { grownRule, mutateBytes, mutateJson } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

let directory: TempDir;
beforeAll(() => {
  directory = new TempDir();
});
afterAll(() => directory[Symbol.dispose]());

const written: readonly unknown[] = [...profileLibrary.values()];

function source(random: Random): unknown {
  if (random(3) > 0) return pick(random, written);
  return { expect: grownRule(random, 3), default: pick(random, ["foreign", "accept", "undecided"]) };
}

/** TOML has no null, and no text but for a table. */
function text(random: Random, value: unknown): string {
  if (random(2) === 0) return JSON.stringify(value);
  try {
    return stringify(value);
  } catch {
    return JSON.stringify(value);
  }
}

function next(random: Random): Uint8Array {
  const mutated = random(2) === 0 ? source(random) : mutateJson(random, source(random));
  const bytes = new TextEncoder().encode(text(random, mutated));
  return random(3) === 0 ? mutateBytes(random, bytes, new TextEncoder().encode(text(random, source(random)))) : bytes;
}

test("a profile is loaded or refused with its place", async () => {
  const seen = { valid: 0, refused: 0 };
  await fuzz(
    {
      name: "profile_text",
      next,
      async check(bytes) {
        const file = directory.write(bytes[0] === 0x7b ? "site.json" : "site.toml", bytes);
        const { code, stdout, stderr } = await ttgate(["config", "check", "-c", "/dev/null", "-p", file]);
        seen[code === 0 ? "valid" : "refused"]++;
        if (code === 0) return;
        const said = `${code} ${stdout}${stderr}`;
        if (code !== 2 || stdout !== "" || !/^ttgate: [^\n]+\n$/.test(stderr)) throw new Error(`No line: ${said}`);
        if (!stderr.includes(`profile "${file}": `) || /undefined|\[object|TypeError/.test(stderr))
          throw new Error(`Not in words: ${said}`);
      },
    },
    150,
  );
  expect(Math.min(seen.valid, seen.refused)).toBeGreaterThan(20);
});
