// SPDX-License-Identifier: Apache-2.0
// Periodic work. Each part has a name, a period and a function; one that fails is told in the log and in
// readiness, and tried again with its next turn. Nothing thrown in a part reaches another one or ends the
// process. Parts that come together leave what is relayed its turn.
import { setImmediate } from "node:timers/promises";
import { messageOf } from "../failure.ts";
import type { Log } from "../log.ts";

export interface Part {
  readonly name: string;
  readonly everyMs: number;
  /** Writes what has one owner: kernel objects, the state file. */
  readonly asOwner?: boolean;
  /** @param nowMs milliseconds since boot. */
  run(nowMs: number): void | Promise<void>;
}

export interface FailingPart {
  readonly name: string;
  readonly reason: string;
}

interface Registered extends Part {
  /** A part that still runs when its turn comes again is left alone. */
  isRunning: boolean;
  reason: string | undefined;
}

/** Parts whose period is a multiple of this come by one timer: the process wakes once for all of them. */
const stepMs = 250;
/** Then the event loop has a turn: with 32 busy connections, one takes 0.2 ms without it. */
const sliceMs = 0.1;

export class Ticker {
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #parts: Registered[] = [];
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  /** Another process may be about to take over: parts that write what has one owner wait. */
  isOwner = true;

  constructor(log: Log, nowMs: () => number) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Runs from the next `start` on. */
  add(part: Part): void {
    this.#parts.push({ ...part, run: (nowMs) => part.run(nowMs), isRunning: false, reason: undefined });
  }

  start(): void {
    const inStep = this.#parts.filter(({ everyMs }) => everyMs % stepMs === 0);
    let passedMs = 0;
    const step = () => {
      passedMs += stepMs;
      void this.#runTogether(inStep.filter(({ everyMs }) => passedMs % everyMs === 0));
    };
    if (inStep.length > 0) this.#timers.push(setInterval(step, stepMs));
    for (const part of this.#parts) {
      if (!inStep.includes(part)) this.#timers.push(setInterval(() => void this.#run(part), part.everyMs));
    }
  }

  /** Idempotent. What runs ends; nothing runs again. */
  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  /** Parts that failed when they last ran. */
  failing(): readonly FailingPart[] {
    return this.#parts.flatMap(({ name, reason }) => (reason === undefined ? [] : [{ name, reason }]));
  }

  async #runTogether(parts: readonly Registered[]): Promise<void> {
    // What a timer does and what is to be done immediately afterwards is one turn: the first part waits too.
    let untilMs = 0;
    for (const part of parts) {
      if (performance.now() >= untilMs) {
        await setImmediate();
        untilMs = performance.now() + sliceMs;
      }
      if (this.#timers.length > 0) void this.#run(part);
    }
  }

  async #run(part: Registered): Promise<void> {
    if (part.isRunning || (part.asOwner === true && !this.isOwner)) return;
    part.isRunning = true;
    let reason: string | undefined;
    try {
      await part.run(this.#nowMs());
    } catch (error) {
      reason = messageOf(error);
    } finally {
      part.isRunning = false;
    }
    if (reason !== undefined && reason !== part.reason) {
      this.#log("error", `Periodic work "${part.name}" fails: ${reason}; it is tried again`);
    }
    if (reason === undefined && part.reason !== undefined) {
      this.#log("info", `Periodic work "${part.name}" succeeds again`);
    }
    part.reason = reason;
  }
}
