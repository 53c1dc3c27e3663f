// SPDX-License-Identifier: Apache-2.0
// Which test files there are, and which of them run together.
import { globSync, readFileSync, statSync } from "node:fs";

/**
 * `systems`: needs real servers, systemd, a browser or emulation, and has a target of its own in the Makefile.
 * `alone`: measures time, so nothing else runs meanwhile. `everyday`: the rest.
 */
export type Lane = "everyday" | "alone" | "systems";

const patterns = ["tests/**/*.test.ts", "tests/**/*_test.ts"];
/** In the comment that a file begins with. */
const aloneMark = /^\/\/ Runs alone: /m;

export function laneOf(file: string): Lane {
  if (file.startsWith("tests/systems/")) return "systems";
  const [head = ""] = readFileSync(file, "utf8").split("\nimport ", 1);
  return aloneMark.test(head) ? "alone" : "everyday";
}

/** All files of `make test`, or all of `make test-systems`. */
export function filesOf(lane: Lane): string[] {
  const all = globSync(patterns).sort();
  return all.filter((file) => (laneOf(file) === "systems") === (lane === "systems"));
}

/** The test files that are named, or are in a directory that is. @throws Error for a name without any. */
export function selected(names: readonly string[]): string[] {
  const files = names.flatMap((name) => {
    const path = name.replace(/^\.\//, "").replace(/\/$/, "");
    const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    const found = isDirectory
      ? globSync(patterns.map((pattern) => pattern.replace(/^tests/, path)))
      : globSync(patterns).filter((file) => file === path);
    if (found.length === 0)
      throw new Error(`Test "${name}": no test file, name one such as tests/core/verdict.test.ts`);
    return found;
  });
  return [...new Set(files)].sort();
}

export function isDeno(file: string): boolean {
  return file.endsWith("_test.ts");
}
