// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, type Prefix } from "../core/address.ts";
import { Expiry } from "../core/bans/expiry.ts";
import { Chain, type Chained } from "../core/chain.ts";
import { Client, sourceBits, sourceOf } from "../core/client.ts";
import type { Endpoint, TcpSocket } from "../runtime/types.ts";
import { Source, Undecided, type Waiting } from "./undecided.ts";

/**
 * Where a session is. Deadlines are kept in sets, whose outgrown tables stay for a while (core/chain.ts): then this
 * stays, and nothing of the session.
 */
export class Place implements Waiting<Place> {
  chain: Chain<Place> | undefined;
  previous: Place | undefined;
  next: Place | undefined;
  source: SourceSessions | undefined;
  isYoung = false;
  session: LiveSession | undefined;
  /** While it is relayed for no longer than a moment. */
  fresh: Fresh | undefined;

  constructor(session: LiveSession) {
    this.session = session;
  }
}

class SourceSessions extends Source<Place> {
  readonly decided = new Chain<Place>();

  get size(): number {
    return this.undecided + this.decided.size;
  }

  *sessions(): Generator<LiveSession> {
    for (const chain of [this.silent, this.excused, this.decided]) {
      for (let place = chain?.first; place !== undefined; place = place.next) {
        if (place.session !== undefined) yield place.session;
      }
    }
  }
}

class Fresh implements Chained<Fresh> {
  chain: Chain<Fresh> | undefined;
  previous: Fresh | undefined;
  next: Fresh | undefined;
  readonly session: LiveSession;

  constructor(session: LiveSession) {
    this.session = session;
  }
}

/**
 * Sources without a connection that are kept, since most come again: a map that each connection joins and leaves
 * would be outgrown again and again.
 */
const idleLimit = 1024;

export interface LiveSession {
  readonly place: Place;
  readonly client: Client;
  /** Undefined when it is closed. */
  readonly clientSocket: TcpSocket | undefined;
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
  readonly #bySource = new Map<string, SourceSessions>();
  /** Those that have no connection now, the longest first. */
  readonly #idle = new Chain<Source<Place>>();
  readonly #undecided = new Undecided<Place>();
  /** Relayed since the last look, and since the one before. */
  #fresh = new Chain<Fresh>();
  #settling = new Chain<Fresh>();
  readonly #deadlines = new Expiry<Place>();
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
    return this.#bySource.get(sourceText)?.size ?? 0;
  }

  /** Also while some come and go. */
  *all(): Generator<LiveSession, void, void> {
    for (const source of this.#bySource.values()) yield* source.sessions();
  }

  /** How many connections each source has. */
  *counts(): Generator<readonly [sourceText: string, connections: number], void, void> {
    for (const [sourceText, { size }] of this.#bySource) if (size > 0) yield [sourceText, size];
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

  add({ place, client: { sourceText } }: LiveSession, deadlineMs: number): void {
    let source = this.#bySource.get(sourceText);
    if (source === undefined) {
      source = new SourceSessions(sourceText);
      this.#bySource.set(sourceText, source);
    }
    this.#idle.remove(source);
    this.#size++;
    this.#undecided.add(source, place);
    this.#deadlines.add(place, deadlineMs);
  }

  /** The session is judged: its deadline is off. */
  decided({ place }: LiveSession, deadlineMs: number): void {
    if (this.#undecided.remove(place)) place.source?.decided.append(place);
    this.#deadlines.remove(place, deadlineMs);
  }

  /** It is relayed from now on; `session` takes the place of what it was. */
  relayed(session: LiveSession): void {
    const fresh = new Fresh(session);
    session.place.session = session;
    session.place.fresh = fresh;
    this.#fresh.append(fresh);
  }

  remove({ place }: LiveSession): void {
    const { source, fresh } = place;
    if (source === undefined) return;
    fresh?.chain?.remove(fresh);
    this.#undecided.remove(place);
    source.decided.remove(place);
    place.source = place.session = place.fresh = undefined;
    this.#size--;
    if (source.size === 0) this.#rest(source);
  }

  /** It has sent something that decides nothing yet. */
  spoke(session: LiveSession): void {
    this.#undecided.spoke(session.place);
  }

  /** Which of the undecided makes room when the gate has its limit of connections. */
  toMakeRoom(): LiveSession | undefined {
    return this.#undecided.victim()?.session;
  }

  /** What only a connection that lives is worth: most are over before. Twice a second. */
  settle(): void {
    this.#undecided.grow();
    const settled = this.#settling;
    this.#settling = this.#fresh;
    this.#fresh = new Chain();
    for (let fresh = settled.first; fresh !== undefined; fresh = settled.first) {
      settled.remove(fresh);
      fresh.session.place.fresh = undefined;
      fresh.session.settled();
    }
  }

  expire(nowMs: number): void {
    for (const { session } of this.#deadlines.due(nowMs)) session?.deadline();
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

  /** A source has no connection any more. */
  #rest(source: SourceSessions): void {
    this.#idle.append(source);
    const longest = this.#idle.first;
    if (this.#idle.size <= idleLimit || longest === undefined) return;
    this.#idle.remove(longest);
    this.#bySource.delete(longest.text);
  }
}
