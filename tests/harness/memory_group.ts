// SPDX-License-Identifier: Apache-2.0
// A control group with a limit of memory, of version 1 or 2, for one process.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { Undo } from "./undo.ts";

const roots = {
  1: "/sys/fs/cgroup/memory",
  2: "/sys/fs/cgroup",
} as const;

function version(): 1 | 2 | undefined {
  if (existsSync(`${roots[1]}/memory.limit_in_bytes`)) return 1;
  const controllers = `${roots[2]}/cgroup.subtree_control`;
  return existsSync(controllers) && readFileSync(controllers, "utf8").includes("memory") ? 2 : undefined;
}

/** Why no group can be made, or undefined. */
export function noMemoryGroups(): string | undefined {
  return version() === undefined ? "there is no control group with a limit of memory" : undefined;
}

export class MemoryGroup implements Disposable {
  readonly #path: string;
  readonly #version: 1 | 2;
  readonly #undo = new Undo();

  constructor(limitBytes: number) {
    this.#version = version() ?? 2;
    this.#path = `${roots[this.#version]}/ttg-${randomBytes(4).toString("hex")}`;
    mkdirSync(this.#path);
    this.#undo.push(() => rmdirSync(this.#path));
    const file = this.#version === 1 ? "memory.limit_in_bytes" : "memory.max";
    writeFileSync(`${this.#path}/${file}`, String(limitBytes));
  }

  /** Shell words before a program that is to be in it. */
  get enter(): readonly string[] {
    return ["bash", "-c", `echo $$ >${this.#path}/cgroup.procs && exec "$@"`, "bash"];
  }

  /** Its processes, also those that the kernel killed for want of memory. */
  get kills(): number {
    const file = this.#version === 1 ? "memory.oom_control" : "memory.events";
    return Number(/^oom_kill (\d+)/m.exec(readFileSync(`${this.#path}/${file}`, "utf8"))?.[1] ?? 0);
  }

  get usedBytes(): number {
    const file = this.#version === 1 ? "memory.usage_in_bytes" : "memory.current";
    return Number(readFileSync(`${this.#path}/${file}`, "utf8"));
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}
