// SPDX-License-Identifier: Apache-2.0
// Tells before it happens that this process may make no more threads: the engine aborts then, and what the kernel
// blocks is all that goes on. Others in the same control group, such as a container's, may take what is left.
import { type TaskRoom, taskRoom } from "../host/task_room.ts";
import type { Log } from "../log.ts";
import type { Finding } from "./finding.ts";

/** The engine has nine or so threads, and some more for a while on a host with many CPUs; `nft` is a process. */
const fewTasks = 16;
const remedy = "TasksMax= in the unit, --pids-limit of a container";

export class Tasks {
  /** For /readyz; undefined: there is room. */
  note: string | undefined;
  readonly #log: Log;
  readonly #room: () => TaskRoom | undefined;

  constructor(log: Log, room = () => taskRoom()) {
    this.#log = log;
    this.#room = room;
  }

  tick(): void {
    const room = this.#room();
    const isShort = room !== undefined && room.left < fewTasks;
    if (isShort && this.note === undefined) this.#log("warn", `${textOf(room)}; raise ${remedy}`);
    this.note = isShort ? `${textOf(room)}; raise ${remedy}` : undefined;
  }
}

/** Of doctor's own group, where a gate in the same container would be. */
export function tasksFindings(room = taskRoom()): Finding[] {
  if (room === undefined || room.left >= fewTasks) return [];
  return [{ name: "tasks", state: "warning", found: textOf(room), remedy: `raise ${remedy}` }];
}

function textOf({ group, limit, left }: TaskRoom): string {
  return `Tasks run out: ${left} of the ${limit} that "${group}" may have are left, and a gate that can make no thread is aborted`;
}
