// SPDX-License-Identifier: Apache-2.0
// The SSH session that a process belongs to.
import { readFileSync } from "node:fs";
import process from "node:process";

/** sudo, a shell or two, a multiplexer, make. */
const mostAncestors = 16;

/**
 * SSH_CONNECTION: `CLIENT PORT SERVER PORT`. sudo takes it away, so processes above are asked as well.
 * @returns undefined without a session, or where /proc does not tell.
 */
export function sshConnection({
  SSH_CONNECTION: own,
}: Readonly<Record<string, string | undefined>>): string | undefined {
  if (own !== undefined) return own;
  try {
    for (let pid = process.ppid, depth = 0; pid > 1 && depth < mostAncestors; pid = parentOf(pid), depth++) {
      const [, connection] =
        /(?:^|\0)SSH_CONNECTION=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, "latin1")) ?? [];
      if (connection !== undefined) return connection;
    }
  } catch {
    // Another user's process, or none any more.
  }
  return undefined;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0);
}
