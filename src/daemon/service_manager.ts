// SPDX-License-Identifier: Apache-2.0
// What the service manager is told (sd_notify(3)): ready, reloading, stopping, how it goes, who goes on in this one's
// place, and again and again that the event loop turns.
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { clockUsec, type Libc, openLibc } from "../kernel/libc.ts";
import { sendDatagram } from "../kernel/notify_socket.ts";
import type { Native } from "../runtime/types.ts";
import type { Ticker } from "./ticker.ts";

export interface ServiceManagerAddress {
  readonly socket: string;
  /** A process that is silent for so long is started anew; 0: nobody looks. */
  readonly watchdogUsec: number;
}

const statusMs = 2000;
/** For whoever started the next process to end, so that it becomes the service manager's own child. */
const adoptionMs = 2000;

/** @returns undefined where nobody wants to know. */
export function serviceManagerAddress(
  variables: Record<string, string | undefined>,
): ServiceManagerAddress | undefined {
  const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = variables;
  // Whom this process starts speaks for itself.
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete variables[name];
  if (!/^[/@]./.test(socket)) return undefined;
  const isOurs = pid === undefined || pid === String(process.pid);
  return { socket, watchdogUsec: isOurs && usec !== undefined && /^\d{1,15}$/.test(usec) ? Number(usec) : 0 };
}

export class ServiceManager {
  readonly address: ServiceManagerAddress | undefined;
  readonly #native: Native;
  #libc: Libc | undefined;
  #status = "";

  /** @param address undefined where nobody wants to know: then nothing is said. */
  constructor(native: Native, address: ServiceManagerAddress | undefined) {
    this.#native = native;
    this.address = address;
  }

  ready(status: string): void {
    this.#status = status;
    this.#tell("READY=1", `STATUS=${status}`);
  }

  reloading(): void {
    if (this.address === undefined) return;
    this.#libc ??= openLibc(this.#native);
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${clockUsec(this.#libc, "monotonic")}`);
  }

  stopping(): void {
    this.#tell("STOPPING=1", "STATUS=Stopping");
  }

  /** Another process goes on. Once whoever started it has ended: then it is the service manager's own child. */
  async succeededBy(pid: number): Promise<void> {
    if (this.address === undefined) return;
    const starter = parentOf(pid);
    for (const endMs = performance.now() + adoptionMs; performance.now() < endMs; await setTimeout(50)) {
      if (starter === 1 || parentOf(pid) !== starter) break;
    }
    this.#tell(`MAINPID=${pid}`, `STATUS=Taken over by pid ${pid}`);
  }

  /** How it goes, and that the loop turns. */
  follow(ticker: Ticker, status: () => string): void {
    if (this.address === undefined) return;
    const { watchdogUsec } = this.address;
    if (watchdogUsec > 0) {
      const everyMs = Math.max(10, Math.floor(watchdogUsec / 1000 / 3));
      ticker.add({ name: "watchdog", everyMs, run: () => this.#tell("WATCHDOG=1") });
    }
    ticker.add({
      name: "service manager",
      everyMs: statusMs,
      run: () => {
        const now = status();
        if (now !== this.#status) this.#tell(`STATUS=${now}`);
        this.#status = now;
      },
    });
  }

  /** A service manager that does not listen is no reason to stop. */
  #tell(...lines: readonly string[]): void {
    if (this.address === undefined) return;
    this.#libc ??= openLibc(this.#native);
    sendDatagram(this.#libc, this.address.socket, lines.join("\n"));
  }
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}
