// SPDX-License-Identifier: Apache-2.0
// How many tasks (processes and threads) the control groups that this process is in may have besides those that they
// have. The engine ends threads that have nothing to do and makes them anew, and aborts where it may not make one.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface TaskRoom {
  /** The directory of the tightest group. */
  readonly group: string;
  /** pids.max of it. */
  readonly limit: number;
  readonly left: number;
}

/** @returns the tightest of the groups around this process; undefined where none has a limit that can be seen. */
export function taskRoom(memberships = "/proc/self/cgroup", root = "/sys/fs/cgroup"): TaskRoom | undefined {
  const rooms = groupsOf(read(memberships) ?? "", root).flatMap(roomOf);
  return rooms.sort((a, b) => a.left - b.left)[0];
}

/** Of version 1 its own hierarchy, of version 2 the one for all; in a container the path may not be what is mounted. */
function groupsOf(text: string, root: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, controllers, path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const top = controllers === "" ? root : controllers?.split(",").includes("pids") ? join(root, "pids") : undefined;
    return top === undefined ? [] : withParents(path).map((group) => join(top, group));
  });
}

function withParents(path: string): string[] {
  return path === "/" ? [path] : [path, ...withParents(dirname(path))];
}

function roomOf(group: string): TaskRoom[] {
  const [limit, current] = ["pids.max", "pids.current"].map((file) => Number(read(join(group, file)) ?? Number.NaN));
  // "max" is no number.
  if (limit === undefined || current === undefined || Number.isNaN(limit - current)) return [];
  return [{ group, limit, left: Math.max(0, limit - current) }];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
