// SPDX-License-Identifier: Apache-2.0
// A directory of ttgate's own, made where it is missing; none above it. Where a disk is not mounted, its directories are
// missing: made in its place, they would take what was to be kept on it.
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { codeOf, Failure } from "../failure.ts";

/** @returns true when it was made. @throws Failure where the one above it, or that it links to, is missing, Error where it cannot be made. */
export function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") {
      const above = dirname(path);
      throw new Failure(`there is no directory "${above}": mount its disk, or make it with mkdir -p ${above}`, {
        cause: error,
      });
    }
    const there = code === "EEXIST" ? statSync(path, { throwIfNoEntry: false }) : undefined;
    if (there?.isDirectory() === true) return false;
    if (code === "EEXIST" && there === undefined) {
      throw new Failure(`"${path}" leads to a directory that is not there: mount its disk`, { cause: error });
    }
    throw error;
  }
}
