// SPDX-License-Identifier: Apache-2.0
// Who was banned before, how often, and until when: what --escalate counts by. A source is forgotten when it
// has been free for as long as the memory lasts, when an operator lifts its ban, and when there is no room for
// all: then the one whose ban is longest over goes first. Pure.

import type { Prefix } from "../address.ts";
import type { BanChange, BanFollower } from "./change.ts";
import type { Origin } from "./claim.ts";

export interface Offender {
  /** Bans by what its own connections showed; those that began while another ran are the same one. */
  readonly bans: number;
  /** Milliseconds since boot: when the last of them ends or ended. */
  readonly untilMs: number;
}

/** A source takes about 200 bytes. */
const sourceLimit = 65_536;

/** Conduct of a connection; what a person or a list asked for is nobody's offence. */
export const byConduct: ReadonlySet<Origin> = new Set(["sniffer", "strikes", "kernel", "server"]);

export class Offenders implements BanFollower {
  readonly #memoryMs: () => number;
  readonly #limit: number;
  /** In the order of their last offence. */
  readonly #bySource = new Map<string, Offender>();

  /** @param memoryMs how long after its end a ban counts; 0: none is remembered. */
  constructor(memoryMs: () => number, limit = sourceLimit) {
    this.#memoryMs = memoryMs;
    this.#limit = limit;
  }

  get size(): number {
    return this.#bySource.size;
  }

  of(source: string, nowMs: number): Offender | undefined {
    const offender = this.#bySource.get(source);
    return offender !== undefined && nowMs < offender.untilMs + this.#memoryMs() ? offender : undefined;
  }

  /** Of all that are remembered, for the state file. */
  all(): MapIterator<[string, Offender]> {
    return this.#bySource.entries();
  }

  /** As an earlier run saved it, or another process says; undefined: it is none. */
  restore(source: Prefix, offender: Offender | undefined): void {
    if (offender !== undefined) this.#set(source.text, offender);
    else if (this.#bySource.size > 0) this.#bySource.delete(source.text);
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      if (
        (change.kind === "lift" && change.isQuiet !== true) ||
        (change.kind === "end" && typeof change.by === "object")
      ) {
        // Nearly always nobody is remembered, and a million may be lifted.
        if (this.#bySource.size > 0) this.#bySource.delete(change.ban.prefix.text);
      } else if (change.kind === "ban" && !change.isAdopted && byConduct.has(change.claim.origin)) {
        this.#offended(change.ban.prefix.text, change.claim.untilMs, change.atMs);
      }
    }
  }

  #offended(source: string, untilMs: number, nowMs: number): void {
    if (this.#memoryMs() === 0) return;
    const before = this.of(source, nowMs);
    const isSame = before !== undefined && nowMs < before.untilMs;
    this.#set(source, {
      bans: (before?.bans ?? 0) + (isSame ? 0 : 1),
      untilMs: isSame ? Math.max(untilMs, before.untilMs) : untilMs,
    });
  }

  #set(source: string, offender: Offender): void {
    this.#bySource.delete(source);
    this.#bySource.set(source, offender);
    if (this.#bySource.size <= this.#limit) return;
    const [oldest] = this.#bySource.keys();
    if (oldest !== undefined) this.#bySource.delete(oldest);
  }
}
