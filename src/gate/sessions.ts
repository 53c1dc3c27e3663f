// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, isIpv4, type Prefix } from "../core/address.ts";
import { Expiry } from "../core/bans/expiry.ts";
import { type Client, sourceOf } from "../core/client.ts";
import { Undecided } from "./undecided.ts";

export interface LiveSession {
  readonly client: Client;
  /** It speaks what is expected. */
  readonly isFriend: boolean;
  /** The time for a first packet is over. */
  deadline(): void;
  /** It has been relayed for a while. */
  settled(): void;
  /** Ends it when it is relayed and nobody has sent anything for so long. */
  endIfIdle(idleMs: number): void;
  /** Resets the connection, both legs. */
  cut(): void;
}

export class Sessions {
  /** Nearly every source has one connection: a set for each would outweigh the session. */
  readonly #bySource = new Map<string, LiveSession | Set<LiveSession>>();
  readonly #undecided = new Undecided<LiveSession>();
  /** Relayed since the last look, and since the one before. */
  #fresh = new Set<LiveSession>();
  #settling = new Set<LiveSession>();
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

  /** Not judged yet. */
  get undecided(): number {
    return this.#undecided.size;
  }

  ofSource(sourceText: string): number {
    const sessions = this.#bySource.get(sourceText);
    return sessions instanceof Set ? sessions.size : Number(sessions !== undefined);
  }

  /** Also while some come and go. */
  *all(): Generator<LiveSession, void, void> {
    for (const sessions of this.#bySource.values()) yield* listOf(sessions);
  }

  /** How many connections each source has. */
  *counts(): Generator<readonly [sourceText: string, connections: number], void, void> {
    for (const [sourceText, sessions] of this.#bySource) {
      yield [sourceText, sessions instanceof Set ? sessions.size : 1];
    }
  }

  /** Whether a source has a connection that speaks what is expected. */
  hasFriend(sourceText: string): boolean {
    for (const { isFriend } of listOf(this.#bySource.get(sourceText))) if (isFriend) return true;
    return false;
  }

  add(session: LiveSession, deadlineMs: number): void {
    const { sourceText } = session.client;
    const others = this.#bySource.get(sourceText);
    if (others === undefined) this.#bySource.set(sourceText, session);
    else if (others instanceof Set) others.add(session);
    else this.#bySource.set(sourceText, new Set([others, session]));
    this.#size++;
    this.#undecided.add(sourceText, session);
    this.#deadlines.add(session, deadlineMs);
  }

  /** The session is judged: its deadline is off. */
  decided(session: LiveSession, deadlineMs: number): void {
    this.#undecided.remove(session.client.sourceText, session);
    this.#deadlines.remove(session, deadlineMs);
  }

  /** It is relayed from now on. */
  relayed(session: LiveSession): void {
    this.#fresh.add(session);
  }

  remove(session: LiveSession): void {
    this.#fresh.delete(session);
    this.#settling.delete(session);
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

  /** It has sent something that decides nothing yet. */
  spoke(session: LiveSession): void {
    this.#undecided.spoke(session.client.sourceText, session);
  }

  /** Which of the undecided makes room when the gate has its limit of connections. */
  toMakeRoom(): LiveSession | undefined {
    return this.#undecided.victim();
  }

  /** What only a connection that lives is worth: most are over before. Twice a second. */
  settle(): void {
    this.#undecided.grow();
    const settled = this.#settling;
    this.#settling = this.#fresh;
    this.#fresh = new Set();
    for (const session of settled) session.settled();
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
    const doomed = [...this.all()].filter(({ client }) => condition(client));
    for (const session of doomed) session.cut();
    return doomed.length;
  }

  cutAll(): void {
    for (const session of [...this.all()]) session.cut();
  }

  #within(prefix: Prefix): LiveSession[] {
    return [...this.#around(prefix)].filter((session) => contains(prefix, session.client.single()));
  }

  /** Whom a prefix may concern; for a source or a part of one, as in nearly every ban, that is no search. */
  #around(prefix: Prefix): Iterable<LiveSession> {
    if (prefix.bits < (isIpv4(prefix) ? 128 : this.#ipv6Bits)) return this.all();
    return listOf(this.#bySource.get(sourceOf(prefix, this.#ipv6Bits).text));
  }
}

function listOf(sessions: LiveSession | Set<LiveSession> | undefined): Iterable<LiveSession> {
  if (sessions instanceof Set) return sessions;
  return sessions === undefined ? [] : [sessions];
}
