// SPDX-License-Identifier: Apache-2.0
// Whether what stands at a path is still what this process put there. Tools that clean up remove files of running
// processes, and mounts hide them: whoever holds a descriptor does not notice.
import { fstatSync, lstatSync, type Stats } from "node:fs";

/** Undefined when nothing is there. @throws Error when it cannot be told. */
export function identityAt(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : identityOf(found);
}

/** @throws Error when it is not open. */
export function identityOfOpen(fd: number): string {
  return identityOf(fstatSync(fd));
}

function identityOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}
