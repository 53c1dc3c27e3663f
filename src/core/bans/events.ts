// SPDX-License-Identifier: Apache-2.0
// What happens to sources and upstreams, numbered, the newest kept for whoever follows. A follower is a
// number of his own in this one ring: memory does not grow with followers or with their slowness, and who
// falls behind by more than the ring is told how many passed him by.
import type { Evidence, Origin } from "./claim.ts";

/**
 * `ban`, `lift`: by the origin named in `by`. `end`: its time is over, or it had to make room. `would-ban`: a dry run met
 * what it would have banned. `spared`: foreign, but never banned.
 */
export type SourceEventType = "ban" | "lift" | "end" | "would-ban" | "spared";

export interface SourceEvent {
  readonly type: SourceEventType;
  /** Milliseconds since boot. */
  readonly atMs: number;
  readonly source: string;
  readonly protocol: string;
  readonly evidence: Evidence | undefined;
  /** Until the ban ends: all of its time, or what a lift or an early end left; Infinity is without an end. */
  readonly leftMs: number | undefined;
  /** Who or what did it; `time`, `room` and `never-ban` end bans. */
  readonly by: Origin | "time" | "room" | "never-ban";
  /** What became of a ban in the kernel; undefined without a kernel block, and for what is no ban. */
  readonly kernel: "enforced" | "full" | "failed" | undefined;
  /** The gate that saw it; undefined where it was none. */
  readonly gate?: string | undefined;
  /** It holds at that gate alone. */
  readonly isLocal?: boolean | undefined;
}

export interface UpstreamEvent {
  readonly type: "upstream";
  readonly atMs: number;
  readonly upstream: string;
  /** Behind which gate. */
  readonly gate?: string | undefined;
  readonly reachable: boolean;
  readonly error: string | undefined;
}

/** A connection that the kernel program should have judged or dropped, and did not. */
export interface UnseenEvent {
  readonly type: "unseen";
  readonly atMs: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly port: number;
  /** By which it came, as far as that is known. */
  readonly interfaceName: string | undefined;
  readonly why: string;
}

export type GateEvent = SourceEvent | UpstreamEvent | UnseenEvent;

export interface Heard {
  readonly events: readonly { readonly id: number; readonly event: GateEvent }[];
  /** How many passed by unheard before these. */
  readonly lost: number;
  /** From where to go on. */
  readonly lastId: number;
}

export class Events {
  readonly #ring: (GateEvent | undefined)[];
  readonly #beforeFirstId: number;
  readonly #waiting = new Set<() => void>();
  #lastId: number;

  /** @param beforeFirstId the first event has the next number: whole and greater than any of an earlier run. */
  constructor(capacity: number, beforeFirstId: number) {
    this.#ring = new Array<GateEvent | undefined>(capacity);
    this.#beforeFirstId = beforeFirstId;
    this.#lastId = beforeFirstId;
  }

  /** Of the newest event. */
  get lastId(): number {
    return this.#lastId;
  }

  publish(event: GateEvent): void {
    this.#lastId++;
    this.#ring[this.#lastId % this.#ring.length] = event;
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** What came after a number, at most `limit`. A number from an earlier run is before the first. */
  after(id: number, limit: number): Heard {
    const from = Math.max(id, this.#beforeFirstId);
    const oldestHeld = Math.max(this.#beforeFirstId, this.#lastId - this.#ring.length);
    const start = Math.min(Math.max(from, oldestHeld), this.#lastId);
    const events: { readonly id: number; readonly event: GateEvent }[] = [];
    for (let next = start + 1; next <= this.#lastId && events.length < limit; next++) {
      const event = this.#ring[next % this.#ring.length];
      if (event !== undefined) events.push({ id: next, event });
    }
    return { events, lost: Math.max(0, start - from), lastId: start + events.length };
  }

  /** Calls once, at the next event. @returns takes it back. */
  next(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }
}
