// SPDX-License-Identifier: Apache-2.0
// A control group with a limit of tasks, of version 1 or 2, for one process.
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { Undo } from "./undo.ts";

function root(): string | undefined {
  if (existsSync("/sys/fs/cgroup/pids/cgroup.procs")) return "/sys/fs/cgroup/pids";
  const controllers = "/sys/fs/cgroup/cgroup.subtree_control";
  const hasPids = existsSync(controllers) && readFileSync(controllers, "utf8").includes("pids");
  return hasPids ? "/sys/fs/cgroup" : undefined;
}

/** Why no group can be made, or undefined. */
export function noTaskGroups(): string | undefined {
  return root() === undefined ? "there is no control group with a limit of tasks" : undefined;
}

export class TaskGroup implements Disposable {
  readonly #path = `${root()}/ttg-${randomBytes(4).toString("hex")}`;
  readonly #undo = new Undo();

  constructor(limit: number) {
    mkdirSync(this.#path);
    this.#undo.push(() => rmdirSync(this.#path));
    this.limit = limit;
  }

  set limit(limit: number) {
    writeFileSync(`${this.#path}/pids.max`, `${limit}`);
  }

  /** Words before a program that is to be in it. */
  get enter(): readonly string[] {
    return ["bash", "-c", `echo $$ >${this.#path}/cgroup.procs && exec "$@"`, "bash"];
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}
