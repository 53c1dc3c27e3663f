// SPDX-License-Identifier: Apache-2.0
// The shared table as one gate sees it. What other gates say becomes claims of theirs in the gate's own table,
// within the limits set here; what the gate itself bans and lifts is gathered to be announced. A record of a
// gate is joined to what is known: the newer ban of a gate counts, the latest lift of anybody counts, so that
// order, loss and repetition make no difference once the last record has come. Pure.
import { type Prefix, parsePrefix } from "../address.ts";
import type { BanChange, BanFollower, BanRequest } from "../bans/change.ts";
import { type Ban, type Claim, claimOf, claimsOf } from "../bans/claim.ts";
import type { Enforcement } from "../bans/enforcement.ts";
import { sourceBits } from "../client.ts";
import { longestDurationMs } from "../duration.ts";
import { Lifts } from "./lifts.ts";
import { type Ending, isShared, OwnDoings } from "./own_doings.ts";
import { Peer } from "./peer.ts";
import { type Announcement, type FleetRecord, parseRecord, recordReason, shortEvidence } from "./record.ts";

export interface FleetTableOptions {
  readonly enforcement: Enforcement;
  /** The name of this gate in the fleet. */
  readonly gate: string;
  /** Whose bans and lifts are taken. */
  readonly trusts: (gate: string) => boolean;
  /** Bans and lifts of one gate in a minute. */
  readonly rate: () => number;
  /** Bans of one gate at a time. */
  readonly most: () => number;
  /** How many more bans of others there is room for, without making any of its own give way. */
  readonly room: () => number;
}

/** A record that the engine holds: the source, and its text; null where there is none. */
export type Entry = readonly [source: string, text: string | null];

interface Understood {
  readonly prefix: Prefix;
  readonly record: FleetRecord;
}

interface Wanted {
  readonly request: BanRequest;
  /** When the peer's claim that it takes the place of ends. */
  readonly heldUntilMs: number | undefined;
}

/** The end of a ban as the engine has it differs by no more than the clocks are known. */
const sameEndMs = 100;
/** A clock is known to some milliseconds; beyond that a time in the future is not an honest one. */
const futureMs = 1000;
/** Of one gate; each takes about 150 bytes. */
const liftsKept = 50_000;
/** Between two turns of who compares, and what is asked of the engine in one question. */
const comparedAtOnce = 500;
/** A /64 and, in its 128-bit form, a single IPv4 address. */
const widestIpv6Bits = 64;

export class FleetTable implements BanFollower {
  readonly peers = new Map<string, Peer>();
  readonly own: OwnDoings;
  readonly #options: FleetTableOptions;
  readonly #lifts = new Lifts(liftsKept);
  /** Claims of others keep the engine's time of their making by this one number, until its clock is set. */
  #baseMs: number | undefined;
  #offsetMs = 0;

  constructor(options: FleetTableOptions) {
    this.#options = options;
    this.own = new OwnDoings();
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      this.#releaseHeld(change);
      if (isNarrow(change.ban.prefix)) this.own.changed(change);
    }
  }

  peer(gate: string): Peer {
    const known = this.peers.get(gate);
    if (known !== undefined) return known;
    const peer = new Peer(gate);
    this.peers.set(gate, peer);
    return peer;
  }

  /**
   * @param offsetMs what is added to milliseconds since boot to have the engine's.
   * @returns by how much the engine's clock was set since the last time; 0: it was not.
   */
  setClock(offsetMs: number): number {
    const byMs = this.#baseMs === undefined ? 0 : offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    this.#baseMs ??= offsetMs;
    if (Math.abs(byMs) <= futureMs) return 0;
    // What was before and what was after stays so; what the engine has is of the other clock until it is written again.
    this.#baseMs += byMs;
    this.#lifts.shift(byMs);
    for (const peer of this.peers.values()) peer.isOutdated = true;
    return byMs;
  }

  /**
   * Takes up records of another gate as the engine has them now.
   * @param isCatchingUp all that the gate holds comes, not only what is new: not counted by the minute.
   */
  apply(gate: string, entries: Iterable<Entry>, nowMs: number, isCatchingUp = false): void {
    const peer = this.peer(gate);
    const wanted: Wanted[] = [];
    const rate = isCatchingUp ? Number.POSITIVE_INFINITY : this.#options.rate();
    const most = this.#options.most() - peer.held(nowMs);
    const forOthers = this.#options.room();
    let room = Math.min(most, forOthers);
    for (const entry of entries) {
      const found = this.#understood(peer, entry, rate, nowMs);
      if (found === undefined) continue;
      this.#lift(peer, found.prefix, found.record, rate, nowMs);
      const one = this.#wanted(peer, found.prefix, found.record, nowMs);
      if (one === undefined) continue;
      if (room <= 0) peer.refused[most <= forOthers ? "most" : "room"]++;
      else if (!peer.spend(rate, nowMs)) this.#tooFast(peer);
      else {
        room--;
        wanted.push(one);
      }
    }
    this.#take(peer, wanted, nowMs);
  }

  #understood(peer: Peer, [source, text]: Entry, rate: number, nowMs: number): Understood | undefined {
    // Nothing is said of it any more: its time was over, or the engine lost its memory. Nothing follows from that,
    // but whoever sends hints at nothing is to come to an end.
    if (text === null) {
      peer.foundNothing(rate, nowMs);
      return undefined;
    }
    const prefix = parsePrefix(source);
    const record = prefix?.text === source ? parseRecord(text) : undefined;
    if (prefix !== undefined && record !== undefined && isNarrow(prefix)) return { prefix, record };
    peer.refused[prefix !== undefined && record !== undefined ? "wide" : "malformed"]++;
    return undefined;
  }

  /**
   * What this gate itself had announced in an earlier life: it is not lost when the gate forgot it, and a lift is
   * known again. @param published filled with what the engine has, by source.
   */
  adopt(entries: Iterable<Entry>, nowMs: number, published: Map<string, FleetRecord>): void {
    const { gate, enforcement } = this.#options;
    const peer = this.peer(gate);
    const wanted: Wanted[] = [];
    for (const [source, text] of entries) {
      const prefix = parsePrefix(source);
      const record = text === null ? undefined : parseRecord(text);
      if (prefix === undefined || record === undefined || !isNarrow(prefix)) continue;
      published.set(source, record);
      const ending = this.own.ending(source);
      this.#lift(peer, prefix, record, Number.POSITIVE_INFINITY, nowMs);
      const ban = enforcement.bans.get(prefix);
      if (ban !== undefined && sharedClaim(ban, nowMs) !== undefined) continue;
      // Taken back here, and the engine did not learn of it.
      if (ending !== undefined && ending.atMs + this.#offsetMs >= record.madeMs) continue;
      const one = this.#wanted(peer, prefix, record, nowMs);
      if (one !== undefined && this.#options.room() > wanted.length) wanted.push(one);
    }
    this.#take(peer, wanted, nowMs);
  }

  /**
   * Sources that are not published as they are here: a slice between two turns of the caller.
   * @param published what the engine has; empty where all of it is by a clock that was set since.
   */
  *compare(published: ReadonlyMap<string, FleetRecord>, nowMs: () => number): Generator<readonly string[], void, void> {
    let different: string[] = [];
    let looked = 0;
    for (const source of this.#compared(published, nowMs)) {
      if (source !== undefined) different.push(source);
      if (++looked % comparedAtOnce !== 0) continue;
      yield different;
      different = [];
    }
    yield different;
  }

  /** One by one: its source, or nothing where it is published as it is here. */
  *#compared(
    published: ReadonlyMap<string, FleetRecord>,
    nowMs: () => number,
  ): Generator<string | undefined, void, void> {
    for (const ban of this.#options.enforcement.bans.all()) {
      const source = ban.prefix.text;
      const claim = isNarrow(ban.prefix) ? sharedClaim(ban, nowMs()) : undefined;
      yield claim === undefined || this.#isPublished(claim, published.get(source)) ? undefined : source;
    }
    for (const [source, ending] of this.own.endings())
      yield this.#isEndPublished(ending, published.get(source)) ? undefined : source;
  }

  /** The same of one source, by what the engine has of it. */
  isDifferent(source: string, text: string | null, nowMs: number): boolean {
    const record = text === null ? undefined : parseRecord(text);
    const ban = this.#options.enforcement.bans.byText(source);
    const claim = ban === undefined ? undefined : sharedClaim(ban, nowMs);
    const ending = this.own.ending(source);
    const isEndThere = ending === undefined || this.#isEndPublished(ending, record);
    return !isEndThere || (claim !== undefined && !this.#isPublished(claim, record));
  }

  #isPublished({ untilMs }: Claim, record: FleetRecord | undefined): boolean {
    if (record === undefined || record.untilMs <= record.madeMs) return false;
    // Infinity less Infinity is no number.
    return record.untilMs === untilMs || Math.abs(record.untilMs - untilMs - this.#offsetMs) < 1000;
  }

  #isEndPublished({ atMs, liftedMs }: Ending, record: FleetRecord | undefined): boolean {
    const lifted = liftedMs === undefined ? 0 : liftedMs + this.#offsetMs;
    const isLive = record !== undefined && record.untilMs > record.madeMs;
    if (isLive && record.madeMs <= atMs + this.#offsetMs) return false;
    return (record?.liftedMs ?? 0) >= lifted - futureMs;
  }

  /** What is to be announced of a source now; undefined: nothing. */
  announcement(source: string, nowMs: number): Announcement | undefined {
    const ban = this.#options.enforcement.bans.byText(source);
    const claim = ban === undefined ? undefined : sharedClaim(ban, nowMs);
    const ending = this.own.ending(source);
    if (claim === undefined && ending === undefined) return undefined;
    const liftedAgoMs = ending?.liftedMs === undefined ? undefined : nowMs - ending.liftedMs;
    const keepMs = ending === undefined ? 0 : Math.max(0, ending.keepUntilMs - nowMs);
    if (claim === undefined) {
      return {
        ...{ source, leftMs: 0, agoMs: nowMs - (ending?.atMs ?? nowMs), liftedAgoMs, keepMs },
        ...{ reason: "lifted", evidence: shortEvidence(undefined) },
      };
    }
    const agoMs = this.own.isUndated(source) ? nowMs + this.#offsetMs : nowMs - claim.sinceMs;
    return {
      ...{ source, leftMs: claim.untilMs - nowMs, agoMs, liftedAgoMs, keepMs },
      ...{ reason: recordReason(claim.reason), evidence: shortEvidence(claim.evidence) },
    };
  }

  /** Bans of others that an earlier run had saved: a slice between two turns of the caller. */
  *recount(nowMs: () => number): Generator<void, void, void> {
    let looked = 0;
    for (const ban of this.#options.enforcement.bans.all()) {
      if (++looked % 1000 === 0) yield;
      for (const { origin, untilMs } of claimsOf(ban, nowMs())) {
        const gate = gateOf(origin);
        if (gate !== undefined) this.peer(gate).hold(untilMs);
      }
    }
    yield* this.distrust(nowMs);
  }

  /** Ends what was taken from gates that are not trusted any more: a slice between two turns of the caller. */
  *distrust(nowMs: () => number): Generator<void, void, void> {
    const { enforcement, trusts, gate: self } = this.#options;
    let looked = 0;
    for (const ban of enforcement.bans.all()) {
      if (++looked % 250 === 0) yield;
      for (const { origin } of claimsOf(ban, nowMs())) {
        const gate = gateOf(origin);
        if (gate === undefined || gate === self || trusts(gate)) continue;
        enforcement.liftClaims(ban.prefix, nowMs(), origin, (claim) => claim.origin === origin);
      }
    }
  }

  /** Bans that were made until the lift end, whoever made them; but another tool's entries are not ttgate's. */
  #lift(peer: Peer, prefix: Prefix, record: FleetRecord, rate: number, nowMs: number): void {
    const { liftedMs } = record;
    if (liftedMs <= this.#lifts.of(prefix.text)) return;
    // It would win over every ban until then. After the engine's clock was set back, it is announced anew.
    if (liftedMs > this.#engineNow(nowMs)) {
      peer.refused.malformed++;
      return;
    }
    const { enforcement, gate: self } = this.#options;
    const ban = enforcement.bans.get(prefix);
    const isLifted = (claim: Claim) =>
      claim.origin !== "foreign" &&
      claim.origin !== "map" &&
      (this.#engineMade(claim) <= liftedMs || (isShared(claim.origin) && this.own.isUndated(prefix.text)));
    const ended = ban === undefined ? [] : claimsOf(ban, nowMs).filter(isLifted);
    if (ended.length > 0 && !peer.spend(rate, nowMs)) {
      this.#tooFast(peer);
      return;
    }
    this.#lifts.remember(prefix.text, peer.name, liftedMs);
    if (ended.length === 0) return;
    enforcement.liftClaims(prefix, nowMs, `gate:${peer.name}`, isLifted);
    if (peer.name === self) return;
    peer.lifted++;
    for (const claim of ended) if (isShared(claim.origin)) this.own.withdraw(prefix.text, nowMs, claim.untilMs);
  }

  /** What a record asks for that is not so yet. */
  #wanted(peer: Peer, prefix: Prefix, record: FleetRecord, nowMs: number): Wanted | undefined {
    const { enforcement } = this.#options;
    const origin = `gate:${peer.name}` as const;
    const ban = enforcement.bans.get(prefix);
    const before = ban === undefined || ban.untilMs <= nowMs ? undefined : claimOf(ban, origin, nowMs);
    const { madeMs } = record;
    const engineNowMs = this.#engineNow(nowMs);
    const isEndless = record.untilMs === Number.POSITIVE_INFINITY;
    // It would win over every lift until then; and no gate bans for longer, unless for ever.
    if (madeMs > engineNowMs || (!isEndless && record.untilMs > engineNowMs + longestDurationMs)) {
      peer.refused.malformed++;
      return undefined;
    }
    // A claim that was saved over a restart knows its making to the clock of this host.
    if (before !== undefined && this.#engineMade(before) > madeMs + futureMs) return undefined;
    const untilMs = record.untilMs - this.#offsetMs;
    const isOver = record.untilMs <= record.madeMs;
    const isShorter = before !== undefined && untilMs < before.untilMs - sameEndMs;
    if (before !== undefined && (isOver || isShorter)) {
      enforcement.liftClaims(prefix, nowMs, origin, (claim) => claim.origin === origin);
    }
    if (isOver || untilMs <= nowMs || madeMs <= this.#lastLift(prefix.text)) return undefined;
    if (before !== undefined && !isShorter && untilMs <= before.untilMs + sameEndMs) return undefined;
    if (enforcement.neverBan.conflict(prefix) !== undefined) {
      peer.refused.neverBan++;
      return undefined;
    }
    const { reason, evidence } = record;
    const sinceMs = madeMs - (this.#baseMs ?? 0);
    const heldUntilMs = isShorter ? undefined : before?.untilMs;
    return { request: { prefix, origin, reason, evidence, untilMs, sinceMs }, heldUntilMs };
  }

  #take(peer: Peer, wanted: readonly Wanted[], nowMs: number): void {
    if (wanted.length === 0) return;
    const { enforcement } = this.#options;
    const results = enforcement.banMany(
      wanted.map(({ request }) => request),
      nowMs,
    );
    for (const [index, { request, heldUntilMs }] of wanted.entries()) {
      const result = results[index];
      if (result?.kind !== "banned" || !result.isChanged) continue;
      if (heldUntilMs !== undefined) peer.release(heldUntilMs);
      peer.hold(request.untilMs);
      peer.taken++;
    }
  }

  #tooFast(peer: Peer): void {
    peer.refused.rate++;
    peer.isDeferred = true;
  }

  #lastLift(source: string): number {
    const own = this.own.ending(source)?.liftedMs;
    return Math.max(this.#lifts.of(source), own === undefined ? 0 : own + this.#offsetMs);
  }

  #engineNow(nowMs: number): number {
    return nowMs + this.#offsetMs + futureMs;
  }

  /** When a claim was made, by the engine's clock. */
  #engineMade({ origin, sinceMs }: Claim): number {
    return sinceMs + (gateOf(origin) === undefined ? this.#offsetMs : (this.#baseMs ?? 0));
  }

  /** Bans of others that ended early. */
  #releaseHeld(change: BanChange): void {
    if (change.kind === "ban" || change.kind === "release") return;
    if (change.kind === "end" && change.by === "time") return;
    for (const { origin, untilMs } of [change.ban, ...change.ban.others]) {
      const gate = gateOf(origin);
      if (gate !== undefined && untilMs > change.atMs) this.peers.get(gate)?.release(untilMs);
    }
  }
}

/** The claim of this gate on a source that ends last. */
function sharedClaim(ban: Ban, nowMs: number): Claim | undefined {
  let last: Claim | undefined;
  for (const claim of claimsOf(ban, nowMs)) {
    if (claim.isLocal === true || claim.untilMs <= nowMs || !isShared(claim.origin)) continue;
    if (last === undefined || claim.untilMs > last.untilMs) last = claim;
  }
  return last;
}

function gateOf(origin: string): string | undefined {
  return origin.startsWith("gate:") ? origin.slice("gate:".length) : undefined;
}

/**
 * A single IPv4 address, or an IPv6 network that one household has; and the same host for all: not those that
 * each host has of its own.
 */
function isNarrow(prefix: Prefix): boolean {
  if (/^(127|169\.254)\.|^fe[89ab]|^::1$/.test(prefix.text)) return false;
  return prefix.bits >= sourceBits(prefix, widestIpv6Bits);
}
