// SPDX-License-Identifier: Apache-2.0
// How many connections a gate holds at a time: what was asked for, and never more than the open files of
// this process allow, since nobody can be accepted without one. Tells when somebody was turned away for it.
import { formatDuration } from "../core/duration.ts";
import { Repeats } from "../core/repeats.ts";
import { connectionLimit, descriptorLimit } from "../host/limits.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";

/** A gate with room for fewer is hardly meant to be so. */
const fewConnections = 1000;
/** What happened this long ago is still said in /readyz. */
const faultMs = 10_000;
/** A line at once, then one in so long. */
const lineMs = 60_000;
const remedy = "ulimit -n 65536, or LimitNOFILE=65536 in the unit";

export class Room {
  /** Connections at a time. */
  limit = 1;
  readonly #log: Log;
  readonly #lines: Repeats<undefined>;
  /** Why the limit is what it is, and what to do. */
  #reason = "";
  #turnedAwayMs = Number.NEGATIVE_INFINITY;
  /** What was said of the limit last. */
  #announced = "";

  constructor(log: Log) {
    this.#log = log;
    this.#lines = new Repeats(lineMs, (_, repeated) => {
      const what = repeated === 0 ? "a connection" : `${repeated} more connections within ${formatDuration(lineMs)}`;
      log("warn", `Turned away ${what}: ${this.#taken()}`);
    });
  }

  /**
   * @param wanted --max-connections; undefined: as many as the open files allow.
   * @param gates so many share the open files.
   */
  resize(runtime: Runtime["name"], wanted: number | undefined, descriptors = descriptorLimit(), gates = 1): void {
    const possible = Math.max(1, Math.floor(connectionLimit(runtime, descriptors) / gates));
    this.limit = Math.min(wanted ?? possible, possible);
    const isByFiles = wanted === undefined || wanted > possible;
    this.#reason = isByFiles ? `${descriptors} open files are allowed: ${remedy}` : "raise --max-connections";
  }

  /** Said when the gate begins to listen, and not again when it goes on after a pause. */
  announce(wanted: number | undefined): void {
    const told = `${this.limit} connections at a time, since only ${this.#reason}`;
    const isLess = wanted === undefined ? this.limit < fewConnections : wanted > this.limit;
    const line = wanted === undefined ? `No more than ${told}` : `Not --max-connections ${wanted} but ${told}`;
    if (isLess && line !== this.#announced) this.#log("warn", line);
    this.#announced = isLess ? line : "";
  }

  /** A connection was reset for want of room. */
  turnedAway(nowMs: number): void {
    this.#turnedAwayMs = nowMs;
    this.#lines.add("", undefined, nowMs);
  }

  tick(nowMs: number): void {
    this.#lines.flush(nowMs);
  }

  /** For /readyz. */
  fault(nowMs: number): string | undefined {
    return nowMs - this.#turnedAwayMs > faultMs ? undefined : `Connections are turned away: ${this.#taken()}`;
  }

  #taken(): string {
    return `all ${this.limit} places are taken (${this.#reason})`;
  }
}
