// SPDX-License-Identifier: Apache-2.0
// Connects that fail for want of something on this host, open files or local ports: no upstream is to blame for
// them. They are counted, and told in the log and in /readyz together with what to do.
import { formatDuration } from "../core/duration.ts";
import { Repeats } from "../core/repeats.ts";
import type { Log } from "../log.ts";

/** What connect(2) says of this host and not of the one that was asked. */
const remedies: Readonly<Record<string, string>> = {
  EMFILE: "this process may open no more files: ulimit -n 65536, or LimitNOFILE=65536 in the unit",
  ENFILE: "this host may open no more files: sysctl fs.file-max",
  EADDRNOTAVAIL: "no local port or address is left for it: sysctl net.ipv4.ip_local_port_range, or several upstreams",
  ENOBUFS: "the kernel has no memory for sockets: sysctl net.ipv4.tcp_mem",
  ENOMEM: "the kernel has no memory for sockets: sysctl net.ipv4.tcp_mem",
  EAGAIN: "the queue of its socket is full: let the server accept faster, or listen with a greater backlog",
};

/** What happened this long ago is still said in /readyz. */
const faultMs = 10_000;
/** A line at once, then one in so long. */
const lineMs = 60_000;

export function isShortage(code: string | undefined): code is string {
  return code !== undefined && remedies[code] !== undefined;
}

export class Shortage {
  /** Connects that failed. */
  count = 0;
  readonly #lines: Repeats<string>;
  #last = "";
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#lines = new Repeats(lineMs, (what, repeated) => {
      const more = repeated === 0 ? "" : `, ${repeated} times more within ${formatDuration(lineMs)}`;
      log("warn", `${what}${more}`);
    });
  }

  add(upstream: string, code: string, nowMs: number): void {
    this.count++;
    this.#last = `Cannot connect to upstream ${upstream}: ${code}, ${remedies[code]}`;
    this.#lastMs = nowMs;
    this.#lines.add(code, this.#last, nowMs);
  }

  tick(nowMs: number): void {
    this.#lines.flush(nowMs);
  }

  /** For /readyz. */
  fault(nowMs: number): string | undefined {
    return nowMs - this.#lastMs > faultMs ? undefined : this.#last;
  }
}
