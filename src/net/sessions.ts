// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, type Prefix } from "../core/address.ts";
import type { Client } from "../core/client.ts";
import { Expiry } from "../core/expiry.ts";

export interface LiveSession {
  readonly client: Client;
  /** The time for a first packet is over. */
  deadline(): void;
  /** Resets the connection, both legs. */
  cut(): void;
}

export class Sessions {
  readonly #bySource = new Map<string, Set<LiveSession>>();
  readonly #undecided = new Set<LiveSession>();
  readonly #deadlines = new Expiry<LiveSession>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  ofSource(sourceText: string): number {
    return this.#bySource.get(sourceText)?.size ?? 0;
  }

  add(session: LiveSession, deadlineMs: number): void {
    const ofSource = this.#bySource.get(session.client.sourceText);
    if (ofSource === undefined) this.#bySource.set(session.client.sourceText, new Set([session]));
    else ofSource.add(session);
    this.#size++;
    this.#undecided.add(session);
    this.#deadlines.add(session, deadlineMs);
  }

  /** The session is judged: its deadline is off. */
  decided(session: LiveSession, deadlineMs: number): void {
    this.#undecided.delete(session);
    this.#deadlines.remove(session, deadlineMs);
  }

  remove(session: LiveSession): void {
    const ofSource = this.#bySource.get(session.client.sourceText);
    if (ofSource?.delete(session) !== true) return;
    if (ofSource.size === 0) this.#bySource.delete(session.client.sourceText);
    this.#size--;
  }

  /** Who has been undecided for longest: makes room when the gate has its limit of connections. */
  oldestUndecided(): LiveSession | undefined {
    return this.#undecided.values().next().value;
  }

  expire(nowMs: number): void {
    for (const session of this.#deadlines.due(nowMs)) session.deadline();
  }

  /** Resets every connection of the sources in a prefix, both legs. @returns how many. */
  cut(prefix: Prefix): number {
    let count = 0;
    const ofSource = this.#bySource.get(prefix.text);
    const sessions = ofSource ?? [...this.#all()].filter((session) => contains(prefix, session.client.single()));
    for (const session of [...sessions]) {
      session.cut();
      count++;
    }
    return count;
  }

  cutAll(): void {
    for (const session of [...this.#all()]) session.cut();
  }

  *#all(): Generator<LiveSession> {
    for (const sessions of this.#bySource.values()) yield* sessions;
  }
}
