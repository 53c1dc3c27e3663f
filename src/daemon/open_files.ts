// SPDX-License-Identifier: Apache-2.0
// What happens when this process has no open files left. A gate never holds more than it has places for; whoever
// floods the status endpoint may take the rest. Bun then spins in accept(2), and Deno's listener stops for good: so
// the status endpoint loses its connections first, and if that does not help, the gates leave whoever comes in the
// kernel's queue.
import { closeSync, openSync } from "node:fs";
import { formatDuration } from "../core/duration.ts";
import { Repeats } from "../core/repeats.ts";
import { canOpen, duplicate, openFilesLimit } from "../kernel/descriptor.ts";
import type { Libc } from "../kernel/libc.ts";
import type { Log } from "../log.ts";
import type { DaemonGate } from "./daemon_gate.ts";

/** Fewer are left: what looks after the kernel's objects and the state needs some at a time. */
const fewFiles = 16;
/** A flood fills the room again within milliseconds; so long without it costs little. */
const pauseMs = 1000;
/** What happened this long ago is still said in /readyz. */
const faultMs = 10_000;
/** A line at once, then one in so long. */
const lineMs = 60_000;
const remedy = "ulimit -n 65536, or LimitNOFILE=65536 in the unit";

export interface OpenFilesParts {
  readonly libc: Libc;
  readonly gates: () => readonly Pick<DaemonGate, "gate">[];
  /** Ends all connections of the status endpoint. */
  readonly dropStatus: (nowMs: number) => Promise<void>;
  readonly log: Log;
}

export class OpenFiles implements Disposable {
  /** How often they ran out. */
  shortages = 0;
  readonly #parts: OpenFilesParts;
  readonly #lines: Repeats<undefined>;
  /** Given away when a listener needs a second descriptor and there is none. */
  #reserve: number | undefined;
  #paused: readonly Pick<DaemonGate, "gate">[] = [];
  #pausedMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #limit: number;

  constructor(parts: OpenFilesParts) {
    this.#parts = parts;
    this.#reserve = openSync("/dev/null", "r");
    this.#limit = openFilesLimit(parts.libc);
    this.#lines = new Repeats(lineMs, (_, repeated) => {
      const times = repeated === 0 ? "" : `, ${repeated} times more within ${formatDuration(lineMs)}`;
      parts.log("warn", `Open files ran out${times}: ${this.#told()}`);
    });
  }

  /** Twice a second. */
  async tick(nowMs: number): Promise<void> {
    this.#lines.flush(nowMs);
    this.#lookAtLimit();
    if (this.#paused.length > 0 && nowMs - this.#pausedMs < pauseMs) return;
    if (!this.#isShort()) return this.#resume();
    this.shortages++;
    this.#lastMs = nowMs;
    this.#lines.add("", undefined, nowMs);
    await this.#parts.dropStatus(nowMs);
    if (this.#isShort()) this.#pause(nowMs);
    else await this.#resume();
  }

  /** For /readyz. */
  fault(nowMs: number): string | undefined {
    return nowMs - this.#lastMs > faultMs ? undefined : `Open files run out: ${this.#told()}`;
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  /** Somebody may change it while this process runs. */
  #lookAtLimit(): void {
    const limit = openFilesLimit(this.#parts.libc);
    if (limit === this.#limit) return;
    this.#limit = limit;
    for (const { gate } of this.#parts.gates()) gate.openFilesChanged(limit);
  }

  #pause(nowMs: number): void {
    this.#pausedMs = nowMs;
    if (this.#paused.length > 0) return;
    this.#paused = this.#parts.gates();
    this.#release();
    for (const { gate } of this.#paused) gate.listenSocket.pause((fd) => duplicate(this.#parts.libc, fd));
  }

  async #resume(): Promise<void> {
    const paused = this.#paused;
    this.#paused = [];
    this.#reserve ??= openSync("/dev/null", "r");
    const open = new Set(this.#parts.gates());
    for (const each of paused) {
      // A reload may have closed one meanwhile.
      if (open.has(each)) await each.gate.listenSocket.resume();
      else each.gate.listenSocket.leave(closeSync);
    }
  }

  #release(): void {
    if (this.#reserve !== undefined) closeSync(this.#reserve);
    this.#reserve = undefined;
  }

  #isShort(): boolean {
    return !canOpen(this.#parts.libc, fewFiles);
  }

  #told(): string {
    return `${this.#limit} are allowed: ${remedy}, and see who connects to the status endpoint`;
  }
}
