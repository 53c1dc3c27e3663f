// SPDX-License-Identifier: Apache-2.0
// The connections that are open now: by source, so that a ban can end all of a source's, and by
// deadline while they are undecided.
import { contains, isIpv4, type Prefix } from "../core/address.ts";
import { Expiry } from "../core/bans/expiry.ts";
import { Chain } from "../core/chain.ts";
import { type Client, sourceOf } from "../core/client.ts";
import { Undecided, type Waiting } from "./undecided.ts";

/** What the tables hold of a session: nothing of the session stays in one that was outgrown (core/chain.ts). */
export class Place implements Waiting<Place> {
  chain: Chain<Place> | undefined;
  previous: Place | undefined;
  next: Place | undefined;
  source: Waiting<Place>["source"];
  session: LiveSession | undefined;

  constructor(session: LiveSession) {
    this.session = session;
  }
}

export interface LiveSession {
  readonly place: Place;
  readonly client: Client;
  /** It speaks what is expected. */
  readonly isFriend: boolean;
  /** The time for a first packet is over. */
  deadline(): void;
  /** It has been relayed for a while. */
  settled(): void;
  /** Resets the connection, both legs. */
  cut(): void;
}

export class Sessions {
  /** Nearly every source has one connection: a set for each would outweigh the session. */
  readonly #bySource = new Map<string, Place | Set<Place>>();
  readonly #undecided = new Undecided<Place>();
  /** Relayed since the last look, and since the one before. */
  #fresh = new Chain<Place>();
  #settling = new Chain<Place>();
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

  /** Whether a source has a connection that speaks what is expected. */
  hasFriend(sourceText: string): boolean {
    for (const { isFriend } of sessionsOf(this.#bySource.get(sourceText))) if (isFriend) return true;
    return false;
  }

  add({ place, client: { sourceText } }: LiveSession, deadlineMs: number): void {
    const others = this.#bySource.get(sourceText);
    if (others === undefined) this.#bySource.set(sourceText, place);
    else if (others instanceof Set) others.add(place);
    else this.#bySource.set(sourceText, new Set([others, place]));
    this.#size++;
    this.#undecided.add(sourceText, place);
    this.#deadlines.add(place, deadlineMs);
  }

  /** The session is judged: its deadline is off. */
  decided({ place }: LiveSession, deadlineMs: number): void {
    this.#undecided.remove(place);
    this.#deadlines.remove(place, deadlineMs);
  }

  /** It is relayed from now on. */
  relayed(session: LiveSession): void {
    this.#fresh.append(session.place);
  }

  remove({ place, client: { sourceText } }: LiveSession): void {
    this.#fresh.remove(place);
    this.#settling.remove(place);
    const places = this.#bySource.get(sourceText);
    if (places instanceof Set) {
      if (!places.delete(place)) return;
      if (places.size === 0) this.#bySource.delete(sourceText);
    } else {
      if (places !== place) return;
      this.#bySource.delete(sourceText);
    }
    place.session = undefined;
    this.#size--;
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
    const settled = this.#settling;
    this.#settling = this.#fresh;
    this.#fresh = new Chain();
    for (let place = settled.first; place !== undefined; place = settled.first) {
      settled.remove(place);
      place.session?.settled();
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
    return sessionsOf(this.#bySource.get(sourceOf(prefix, this.#ipv6Bits).text));
  }

  *#all(): Generator<LiveSession> {
    for (const places of this.#bySource.values()) yield* sessionsOf(places);
  }
}

function* sessionsOf(places: Place | Set<Place> | undefined): Generator<LiveSession> {
  if (places === undefined) return;
  for (const { session } of places instanceof Set ? places : [places]) if (session !== undefined) yield session;
}
