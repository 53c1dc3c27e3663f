// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, type Prefix } from "../core/address.ts";
import { Expiry } from "../core/bans/expiry.ts";
import { Chain, type Chained } from "../core/chain.ts";
import { Client, sourceBits, sourceOf } from "../core/client.ts";
import type { Work } from "../core/work.ts";
import type { Endpoint, TcpSocket } from "../runtime/types.ts";
import { type Newcomer, Newcomers } from "./newcomers.ts";
import { Source, Undecided, type Waiting } from "./undecided.ts";

/** Where a session is among the undecided: what a session is chained to itself is its deadline until then. */
export class Place implements Waiting<Place> {
  chain: Chain<Place> | undefined;
  previous: Place | undefined;
  next: Place | undefined;
  source: Source<Place> | undefined;
  youth: number | undefined;
  session: LiveSession | undefined;

  constructor(session: LiveSession) {
    this.session = session;
  }
}

/** Who has connections: the chain of those that are decided. */
export class SourceSessions extends Chain<LiveSession> {
  readonly text: string;
  /** Those that are not; also while it has none at all. Undefined with nearly all that are held. */
  waiting: Source<Place> | undefined;

  constructor(text: string) {
    super();
    this.text = text;
  }

  get connections(): number {
    return this.size + (this.waiting?.undecided ?? 0);
  }

  *sessions(): Generator<LiveSession> {
    for (const chain of [this.waiting?.silent, this.waiting]) {
      for (let place = chain?.first; place !== undefined; place = place.next) {
        if (place.session !== undefined) yield place.session;
      }
    }
    // Who looks at one may end it.
    for (let session = this.first, next = session?.next; session !== undefined; session = next) {
      ({ next } = session);
      yield session;
    }
  }
}

/**
 * Sources without a connection that are kept, since most come again: a map that each connection joins and leaves
 * would be outgrown again and again.
 */
const idleLimit = 1024;

/** `youth`: of one that is relayed, for a moment. */
export interface LiveSession extends Chained<LiveSession>, Newcomer {
  /** Undefined once it is removed. */
  source: SourceSessions | undefined;
  /** Of one that was not judged at first. */
  readonly place?: Place;
  readonly client: Client;
  /** Undefined when it is closed. */
  readonly clientSocket: TcpSocket | undefined;
  /** It speaks what is expected. */
  readonly isFriend: boolean;
  /** The time for a first packet is over. */
  deadline(isExcused?: boolean): void;
  /** It has been relayed for a while. */
  settled(): void;
  /** Ends it when it is relayed and nobody has sent anything for so long. */
  endIfIdle(idleMs: number): void;
  /** Resets the connection, both legs. */
  cut(): void;
}

/** One that is not judged at first. */
export interface NewSession extends LiveSession {
  readonly place: Place;
}

export class Sessions {
  readonly #bySource = new Map<string, SourceSessions>();
  /** Those that have no connection now, the longest first. */
  readonly #idle = new Chain<Source<Place>>();
  readonly #undecided = new Undecided<Place>();
  /** Those that are relayed. */
  readonly #newcomers = new Newcomers<LiveSession>();
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
    return this.#bySource.get(sourceText)?.connections ?? 0;
  }

  /** Also while some come and go. */
  *all(): Generator<LiveSession, void, void> {
    for (const source of this.#bySource.values()) yield* source.sessions();
  }

  /** How many connections each source has. */
  *counts(): Generator<readonly [sourceText: string, connections: number], void, void> {
    for (const [sourceText, { connections }] of this.#bySource) if (connections > 0) yield [sourceText, connections];
  }

  /** Connections from an address and port: to another address here each. */
  *from({ address, port }: Endpoint): Generator<TcpSocket> {
    const { sourceText } = new Client(address, port, this.#ipv6Bits);
    for (const { client, clientSocket } of this.#ofSource(sourceText)) {
      if (client.port === port && clientSocket !== undefined) yield clientSocket;
    }
  }

  /** Whether a source has a connection that speaks what is expected. */
  hasFriend(sourceText: string): boolean {
    for (const { isFriend } of this.#ofSource(sourceText)) if (isFriend) return true;
    return false;
  }

  add(session: NewSession, deadlineMs: number): void {
    const { place, client } = session;
    let source = this.#bySource.get(client.sourceText);
    if (source === undefined) {
      source = new SourceSessions(client.sourceText);
      this.#bySource.set(client.sourceText, source);
    }
    source.waiting ??= new Source(source.text);
    this.#idle.remove(source.waiting);
    session.source = source;
    this.#size++;
    this.#undecided.add(source.waiting, place);
    this.#deadlines.add(session, deadlineMs);
  }

  /** The session is judged, or over before: its deadline is off. */
  decided(session: NewSession, deadlineMs: number): void {
    const { place, source } = session;
    this.#deadlines.remove(session, deadlineMs);
    if (!this.#leave(place) || source === undefined) return;
    source.append(session);
    if (source.waiting?.undecided === 0) source.waiting = undefined;
  }

  /** It is relayed from now on; `session` takes the place of what it was, which was decided. */
  relayed(session: LiveSession, was: LiveSession): void {
    const { source } = was;
    if (source === undefined) return;
    source.remove(was);
    was.source = undefined;
    session.source = source;
    source.append(session);
    this.#newcomers.add(session);
  }

  remove(session: LiveSession): void {
    const { source, place } = session;
    if (source === undefined) return;
    this.#newcomers.remove(session);
    if (place !== undefined) this.#leave(place);
    session.chain?.remove(session);
    session.source = undefined;
    this.#size--;
    if (source.connections === 0) this.#rest(source);
  }

  /** It has sent something that decides nothing yet. */
  spoke(session: NewSession): void {
    this.#undecided.spoke(session.place);
  }

  /** Which of the undecided makes room when the gate has its limit of connections. */
  toMakeRoom(): LiveSession | undefined {
    return this.#undecided.victim()?.session;
  }

  /** What only a connection that lives is worth: most are over before. Twice a second. */
  *settle(): Work<void> {
    this.#undecided.grow();
    for (const session of this.#newcomers.grown()) {
      session.settled();
      yield;
    }
  }

  /** @param isExcused it may be this process that was too slow. */
  expire(nowMs: number, isExcused = false): void {
    for (const session of this.#deadlines.due(nowMs)) session.deadline(isExcused);
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
    if (prefix.bits < sourceBits(prefix, this.#ipv6Bits)) return this.all();
    return this.#ofSource(sourceOf(prefix, this.#ipv6Bits).text);
  }

  #ofSource(sourceText: string): Iterable<LiveSession> {
    return this.#bySource.get(sourceText)?.sessions() ?? [];
  }

  /** @returns false when it is not among the undecided. */
  #leave(place: Place): boolean {
    const wasThere = this.#undecided.remove(place);
    place.source = place.session = undefined;
    return wasThere;
  }

  /** A source has no connection any more. */
  #rest(source: SourceSessions): void {
    source.waiting ??= new Source(source.text);
    this.#idle.append(source.waiting);
    const longest = this.#idle.first;
    if (this.#idle.size <= idleLimit || longest === undefined) return;
    this.#idle.remove(longest);
    this.#bySource.delete(longest.text);
  }
}
