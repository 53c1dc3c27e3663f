// SPDX-License-Identifier: Apache-2.0
// Connections that the kernel program should have seen and did not: counted, told as events and in the log,
// and a reason not to be ready while it goes on. Knows nothing of how they are found.
import type { Events } from "../core/bans/events.ts";
import type { Log } from "../log.ts";

export interface Unseen {
  /** What should have become of it. */
  readonly missed: "judged" | "dropped";
  readonly source: string;
  readonly sourcePort: number;
  readonly port: number;
  /** By which it came, as far as that is known. */
  readonly interfaceName: string | undefined;
  /** Why it was not seen, and what to do; a clause. */
  readonly why: string;
}

export interface UnseenStatus {
  readonly connections: number;
  readonly last: (Unseen & { readonly atMs: number }) | undefined;
}

/** Within the last minute so many are more than a packet that was under way while something changed. */
const tooMany = 3;
const windowMs = 60_000;
/** A line in the log at most this often. */
const lineMs = 10_000;

export class UnseenConnections {
  readonly #events: Events;
  readonly #log: Log;
  #connections = 0;
  #last: UnseenStatus["last"];
  /** Times of the last few. */
  #recentMs: number[] = [];
  #saidMs = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(events: Events, log: Log) {
    this.#events = events;
    this.#log = log;
  }

  add(unseen: Unseen, nowMs: number): void {
    this.#connections++;
    this.#unsaid++;
    this.#last = { ...unseen, atMs: nowMs };
    this.#recentMs = [...this.#recentMs, nowMs].slice(-tooMany);
    const { missed: _missed, ...event } = unseen;
    this.#events.publish({ type: "unseen", atMs: nowMs, ...event });
    this.say(nowMs);
  }

  /** More of them, of which nothing but their number is known. */
  addUntold(connections: number): void {
    this.#connections += connections;
    this.#unsaid += connections;
  }

  /** Now and then: what was held back of the log. */
  say(nowMs: number): void {
    if (this.#unsaid === 0 || nowMs - this.#saidMs < lineMs) return;
    this.#log("warn", this.#sentence(this.#unsaid, ""), { source: this.#last?.source });
    this.#saidMs = nowMs;
    this.#unsaid = 0;
  }

  get status(): UnseenStatus {
    return { connections: this.#connections, last: this.#last };
  }

  /** Why the gate is not ready; undefined while there were none, or few. */
  reason(nowMs: number): string | undefined {
    const [first] = this.#recentMs;
    if (this.#recentMs.length < tooMany || first === undefined || nowMs - first > windowMs) return undefined;
    return this.#sentence(this.#connections, " since the start");
  }

  #sentence(count: number, when: string): string {
    const { missed, source, sourcePort, port, interfaceName, why } = this.#last ?? nobody;
    const what = count === 1 ? `A connection to port ${port} was` : `${count} connections to port ${port} were`;
    const by = interfaceName === undefined ? "" : ` by interface "${interfaceName}"`;
    const last = `${count === 1 ? "" : "the last one "}from ${source} port ${sourcePort}${by}`;
    return `${what} not ${missed} by the kernel program${when}, ${last}: ${why}`;
  }
}

const nobody: Unseen = { missed: "judged", source: "?", sourcePort: 0, port: 0, interfaceName: undefined, why: "" };
