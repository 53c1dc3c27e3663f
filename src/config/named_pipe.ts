// SPDX-License-Identifier: Apache-2.0
// Files of the configuration are read again with each reload, by a gate that must not wait for them.
import { statSync } from "node:fs";

/** @throws Error for a pipe that nobody may ever write to. A shell's <(command) is none. */
export function refuseNamedPipe(path: string): void {
  const isPipe = statSync(path, { throwIfNoEntry: false })?.isFIFO() === true && !/^\/(dev|proc)\//.test(path);
  if (isPipe) throw new Error("it is a named pipe, which would be waited for; name a file");
}
