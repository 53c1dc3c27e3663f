// SPDX-License-Identifier: Apache-2.0
// The system calls on sockets that a process makes meanwhile, counted by strace. That slows the process down many
// times over; the count stays what it is.
import { readFileSync } from "node:fs";
import { Child } from "./child.ts";
import { TempDir } from "./temp_dir.ts";

/** How often they wait depends on how many events come at a time, and that on how busy the machine is. */
const waits = ["epoll_wait", "epoll_pwait", "epoll_pwait2"] as const;
const steps = [
  ...["accept4", "socket", "connect", "shutdown", "close", "fcntl", "epoll_ctl"],
  ...["sendto", "sendmsg", "recvfrom", "recvmsg", "setsockopt", "getsockopt", "getpeername", "getsockname"],
] as const;

export class SocketCalls {
  readonly #counts: ReadonlyMap<string, number>;

  private constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts;
  }

  /** @throws Error with what strace said when it cannot watch the process. */
  static async during(pid: number, work: () => Promise<unknown>): Promise<SocketCalls> {
    using directory = new TempDir();
    const table = directory.file("calls");
    const traced = `trace=${[...waits, ...steps].join()}`;
    await using strace = new Child([
      "strace",
      "-f",
      "-c",
      "-U",
      "calls,errors,name",
      "-e",
      traced,
      "-o",
      table,
      "-p",
      `${pid}`,
    ]);
    await strace.said(/attached/);
    await work();
    await strace.stop("SIGINT");
    return new SocketCalls(countsOf(readFileSync(table, "utf8")));
  }

  /** Of one call. */
  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Without waiting for events, and without asking in vain whether there is one more to accept. */
  get steps(): number {
    return this.#sum(steps);
  }

  /** With those too. */
  get all(): number {
    return this.#sum([...steps, ...waits]) + this.of(inVain);
  }

  #sum(names: readonly string[]): number {
    return names.reduce((sum, name) => sum + this.of(name), 0);
  }

  toString(): string {
    return [...this.#counts].map(([name, count]) => `${name} ${count}`).join(", ");
  }
}

const inVain = "accept4 in vain";

/** Lines of calls, errors (left out when there are none) and the name. */
function countsOf(table: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, calls, errors, name = ""] of table.matchAll(/^ *(\d+) +(?:(\d+) +)?([a-z]\w+)$/gm)) {
    const failed = name === "accept4" ? Number(errors ?? 0) : 0;
    if (name === "total") continue;
    counts.set(name, Number(calls) - failed);
    if (failed > 0) counts.set(inVain, failed);
  }
  return counts;
}
