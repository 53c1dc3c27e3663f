// SPDX-License-Identifier: Apache-2.0
// The system calls on sockets that a process makes meanwhile, counted by strace. That slows the process down many
// times over; the count stays what it is. Waiting for events is left out, and so is an accept that finds nobody:
// how often that happens depends on how many events come at a time, and that on how busy the machine is.
import { readFileSync } from "node:fs";
import { Child } from "./child.ts";
import { TempDir } from "./temp_dir.ts";

const traced = [
  ...["accept4", "socket", "connect", "shutdown", "close", "fcntl", "epoll_ctl"],
  ...["sendto", "sendmsg", "recvfrom", "recvmsg", "setsockopt", "getsockopt", "getpeername", "getsockname"],
];

export class SocketCalls {
  readonly #counts: ReadonlyMap<string, number>;

  private constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts;
  }

  /** @throws Error with what strace said when it cannot watch the process. */
  static async during(pid: number, work: () => Promise<unknown>): Promise<SocketCalls> {
    using directory = new TempDir();
    const table = directory.file("calls");
    const what = ["-f", "-e", `trace=${traced.join()}`, "-p", `${pid}`];
    await using strace = new Child(["strace", "-c", "-U", "calls,errors,name", "-o", table, ...what]);
    await strace.said(/attached/);
    await work();
    await strace.stop("SIGINT");
    return new SocketCalls(countsOf(readFileSync(table, "utf8")));
  }

  /** Of one call. */
  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  get sum(): number {
    return this.#counts.values().reduce((sum, count) => sum + count, 0);
  }

  toString(): string {
    return [...this.#counts].map(([name, count]) => `${name} ${count}`).join(", ");
  }
}

/** Lines of calls, errors (left out when there are none) and the name. */
function countsOf(table: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, calls, errors = "0", name = ""] of table.matchAll(/^ *(\d+) +(?:(\d+) +)?([a-z]\w+)$/gm)) {
    if (name !== "total") counts.set(name, Number(calls) - (name === "accept4" ? Number(errors) : 0));
  }
  return counts;
}
