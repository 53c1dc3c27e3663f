// SPDX-License-Identifier: Apache-2.0
// Whether what stands at a path is still what this process put there. Tools that clean up remove files of running
// processes, and mounts hide them: whoever holds a descriptor does not notice.
import { fstatSync, lstatSync, type Stats } from "node:fs";
import { codeOf } from "../failure.ts";

/** Undefined when nothing is there. @throws Error when it cannot be told. */
export function identityAt(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : identityOf(found);
}

/** @throws Error when it is not open. */
export function identityOfOpen(fd: number): string {
  return identityOf(fstatSync(fd));
}

/**
 * Something else stands there, or nothing. With --user the directory may be closed to this process by now: then it
 * cannot be told, nor put back. @throws Error when it cannot be told for another reason.
 */
export function wasRemoved(path: string, identity: string | undefined): boolean {
  try {
    return identityAt(path) !== identity;
  } catch (error) {
    if (codeOf(error) === "EACCES") return false;
    throw error;
  }
}

function identityOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}
