// SPDX-License-Identifier: Apache-2.0
// Tries a property with inputs: first those that failed before, kept in corpus/NAME/ as files, then new ones, each by
// a seed of its own. What fails joins the kept. TTGATE_FUZZ_SECONDS goes on for so long, TTGATE_FUZZ_SEED goes
// elsewhere.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { messageOf } from "../../src/failure.ts";
import { createRandom, type Random } from "../harness/random.ts";

export interface Property {
  /** Names the directory of what is kept. */
  readonly name: string;
  next(random: Random): Uint8Array;
  /** @throws Error when the property does not hold. */
  check(input: Uint8Array): void | Promise<void>;
  /** Inputs under way at a time, where a check waits for others; one without it. */
  readonly atOnce?: number;
}

export const fuzzSeconds = Number(process.env["TTGATE_FUZZ_SECONDS"] ?? "0");
export const firstSeed = Number(process.env["TTGATE_FUZZ_SEED"] ?? "1");

/** What a test that fuzzes may take. */
export const fuzzTimeoutMs = 60_000 + fuzzSeconds * 2000;

/** On a CPU, of the test's own process, while one input is tried. */
const hangMs = 3000;

/** @returns how many inputs were tried. @throws Error with the seed and the kept file of the first that fails. */
export async function fuzz(property: Property, inputs: number): Promise<number> {
  const directory = join(import.meta.dirname, "corpus", property.name);
  const kept = existsSync(directory) ? readdirSync(directory) : [];
  for (const file of kept) await attempt(property, readFileSync(join(directory, file)), file);
  const untilMs = performance.now() + fuzzSeconds * 1000;
  let tried = 0;
  const work = async () => {
    while (tried < inputs || performance.now() < untilMs) await attemptNew(property, firstSeed + tried++, directory);
  };
  await Promise.all(Array.from({ length: property.atOnce ?? 1 }, work));
  if (fuzzSeconds > 0) console.log(`${property.name}: ${tried} inputs, seeds ${firstSeed} to ${firstSeed + tried - 1}`);
  return kept.length + tried;
}

async function attemptNew(property: Property, seed: number, directory: string): Promise<void> {
  const input = property.next(createRandom(seed));
  try {
    await attempt(property, input, `seed ${seed}`);
  } catch (error) {
    const file = createHash("sha256").update(input).digest("hex").slice(0, 12);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, file), input);
    throw new Error(`${messageOf(error)}; kept as corpus/${property.name}/${file}`, { cause: error });
  }
}

async function attempt(property: Property, input: Uint8Array, which: string): Promise<void> {
  const before = process.cpuUsage();
  try {
    await property.check(input);
  } catch (error) {
    throw new Error(`${property.name}, ${which}: ${messageOf(error)}`, { cause: error });
  }
  const { user, system } = process.cpuUsage(before);
  if ((user + system) / 1000 > hangMs) throw new Error(`${property.name}, ${which}: takes longer than ${hangMs} ms`);
}
