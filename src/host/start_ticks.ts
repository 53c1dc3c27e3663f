// SPDX-License-Identifier: Apache-2.0
// Which process a pid means: one that was given away again began at another moment.
import { readFileSync } from "node:fs";

/** When a process was started, in clock ticks since boot; undefined when there is none of this pid. */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // A process may call itself anything, also ") ".
    return stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
