// SPDX-License-Identifier: Apache-2.0
// A wall clock of its own for a process, and for each that it starts: it steps when a test says so.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./child.ts";
import type { TempDir } from "./temp_dir.ts";

/** The wall clock of a process, as a file that its preloaded library reads. */
export async function steppable(
  directory: TempDir,
): Promise<{ env: Record<string, string>; step(seconds: number): void }> {
  const library = directory.file("step_clock.so");
  const source = join(import.meta.dirname, "step_clock.c");
  const built = await run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source]);
  if (built.code !== 0) throw new Error(`Cannot compile "${source}": ${built.stderr}`);
  const file = directory.file("step");
  const step = (seconds: number) => writeFileSync(file, new BigInt64Array([BigInt(seconds)]), { flag: "r+" });
  writeFileSync(file, new Uint8Array(8));
  return { env: { LD_PRELOAD: library, STEP_CLOCK_FILE: file }, step };
}
