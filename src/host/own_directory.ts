// SPDX-License-Identifier: Apache-2.0
// A directory of ttgate's own, made where it is missing; none above it. Where a disk is not mounted, its directories are
// missing: made in its place, they would take what was to be kept on it.
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { codeOf, Failure } from "../failure.ts";

/**
 * @param mode of a directory that is made; by default its owner's alone.
 * @returns true when it was made. @throws Failure where the one above it, or that it links to, is missing, Error where it cannot be made.
 */
export function makeDirectory(path: string, mode = 0o700): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") {
      const above = dirname(path);
      throw new Failure(`there is no directory "${above}": mount its disk, or make it with mkdir -p ${above}`, {
        cause: error,
      });
    }
    if (code !== "EEXIST") throw error;
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory() === true) return false;
    const problem =
      there === undefined
        ? "leads to a directory that is not there: mount its disk"
        : "is no directory: name another path";
    throw new Failure(`"${path}" ${problem}`, { cause: error });
  }
}
