// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, isIpv4, type Prefix } from "../core/address.ts";
import { Expiry } from "../core/bans/expiry.ts";
import { type Client, sourceOf } from "../core/client.ts";

export interface LiveSession {
  readonly client: Client;
  /** The time for a first packet is over. */
  deadline(): void;
  /** Resets the connection, both legs. */
  cut(): void;
}

export class Sessions {
  /** Nearly every source has one connection: a set for each would outweigh the session. */
  readonly #bySource = new Map<string, LiveSession | Set<LiveSession>>();
  readonly #undecided = new Set<LiveSession>();
  readonly #deadlines = new Expiry<LiveSession>();
  readonly #ipv6Bits: number;
  #size = 0;

  /** @param ipv6Bits the prefix length that makes an IPv6 source. */
  constructor(ipv6Bits: number) {
    this.#ipv6Bits = ipv6Bits;
  }

  get size(): number {
    return this.#size;
  }

  ofSource(sourceText: string): number {
    const sessions = this.#bySource.get(sourceText);
    return sessions instanceof Set ? sessions.size : Number(sessions !== undefined);
  }

  /** How many connections each source has. */
  *counts(): Generator<readonly [sourceText: string, connections: number], void, void> {
    for (const [sourceText, sessions] of this.#bySource) {
      yield [sourceText, sessions instanceof Set ? sessions.size : 1];
    }
  }

  add(session: LiveSession, deadlineMs: number): void {
    const { sourceText } = session.client;
    const others = this.#bySource.get(sourceText);
    if (others === undefined) this.#bySource.set(sourceText, session);
    else if (others instanceof Set) others.add(session);
    else this.#bySource.set(sourceText, new Set([others, session]));
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
    const { sourceText } = session.client;
    const sessions = this.#bySource.get(sourceText);
    if (sessions instanceof Set) {
      if (!sessions.delete(session)) return;
      if (sessions.size === 0) this.#bySource.delete(sourceText);
    } else {
      if (sessions !== session) return;
      this.#bySource.delete(sourceText);
    }
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
    const doomed = this.#within(prefix);
    for (const session of doomed) session.cut();
    return doomed.length;
  }

  /** How many connections the sources in a prefix have. */
  count(prefix: Prefix): number {
    return this.#within(prefix).length;
  }

  /** The same of whoever meets a condition, by one look at all. */
  cutWhere(condition: (client: Client) => boolean): number {
    const doomed = [...this.#all()].filter(({ client }) => condition(client));
    for (const session of doomed) session.cut();
    return doomed.length;
  }

  cutAll(): void {
    for (const session of [...this.#all()]) session.cut();
  }

  #within(prefix: Prefix): LiveSession[] {
    return [...this.#around(prefix)].filter((session) => contains(prefix, session.client.single()));
  }

  /** Whom a prefix may concern; for a source or a part of one, as in nearly every ban, that is no search. */
  #around(prefix: Prefix): Iterable<LiveSession> {
    if (prefix.bits < (isIpv4(prefix) ? 128 : this.#ipv6Bits)) return this.#all();
    return listOf(this.#bySource.get(sourceOf(prefix, this.#ipv6Bits).text));
  }

  *#all(): Generator<LiveSession> {
    for (const sessions of this.#bySource.values()) yield* listOf(sessions);
  }
}

function listOf(sessions: LiveSession | Set<LiveSession> | undefined): Iterable<LiveSession> {
  if (sessions instanceof Set) return sessions;
  return sessions === undefined ? [] : [sessions];
}
