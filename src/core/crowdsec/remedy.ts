// SPDX-License-Identifier: Apache-2.0
// What CrowdSec decided becomes claims of its own in the table, and ends with its decisions: as a remediation
// component, in CrowdSec's words. Own pushes that come back are left out. What an operator lifts stays lifted until
// CrowdSec decides anew. Repetitions make no difference. Pure.
import { type Prefix, requirePrefix } from "../address.ts";
import type { BanChange, BanFollower, BanRequest } from "../bans/change.ts";
import { type Ban, claimOf, claimsOf } from "../bans/claim.ts";
import type { Enforcement } from "../bans/enforcement.ts";
import type { Decision, DecisionReading, NotTaken } from "./decision.ts";
import { type Held, Holdings, mostHeld } from "./holdings.ts";

export interface RemedyOptions {
  readonly enforcement: Enforcement;
  /** The origin of what this gate pushes itself; undefined: it pushes nothing. */
  readonly ownOrigin: string | undefined;
  /** Whether one more ban fits beside those that are asked for already. */
  readonly hasRoom: (prefix: Prefix, asked: number) => boolean;
}

/** More that is new is asked for as a whole. */
const mostChanges = 100_000;

/** What one answer says, read whole before anything of it is carried out. */
export class Answer {
  readonly #ownOrigin: string | undefined;
  /** Everything of a full answer, what is new of another. */
  readonly holdings = new Holdings();
  readonly came: Decision[] = [];
  readonly went: Decision[] = [];
  /** Ends of own pushes by source, milliseconds since boot. */
  readonly own = new Map<string, number>();
  readonly isFull: boolean;
  /** When it began to come, milliseconds since boot: what is left of a decision is left from then. */
  readonly atMs: number;
  /** What is new of it and not carried out. */
  readonly notTaken: Record<NotTaken, number> = { malformed: 0, wide: 0, remedy: 0, scope: 0 };
  tooMany = 0;

  constructor(isFull: boolean, ownOrigin: string | undefined, atMs: number) {
    this.isFull = isFull;
    this.atMs = atMs;
    this.#ownOrigin = ownOrigin;
  }

  /** @throws Error when it is more than is carried out one by one. */
  add(list: string, reading: DecisionReading): void {
    if (this.came.length + this.went.length >= mostChanges) throw new Error("it has more changes than are followed");
    if (reading.kind === "simulation") return;
    if (reading.kind !== "ban") {
      if (list === "new" || reading.kind === "malformed") this.notTaken[reading.kind]++;
      return;
    }
    const { decision } = reading;
    const isOwn = decision.origin === this.#ownOrigin;
    if (list === "deleted") {
      if (!this.isFull && !isOwn) this.went.push(decision);
    } else if (list === "new" && decision.leftMs > 0) {
      if (isOwn) this.#addOwn(decision);
      else if (!this.isFull) this.came.push(decision);
      else if (!this.holdings.add(decision, this.atMs)) this.tooMany++;
    }
  }

  #addOwn({ prefix, leftMs }: Decision): void {
    const untilMs = Math.max(this.own.get(prefix.text) ?? 0, this.atMs + leftMs);
    if (this.own.size < mostHeld) this.own.set(prefix.text, untilMs);
  }
}

interface Request extends BanRequest {
  /** The end of the claim that is there. */
  readonly before: number | undefined;
  /** It takes a place in the table. */
  readonly isNew: boolean;
}

type Refused = Record<NotTaken | "neverBan" | "room", number>;

/** What an answer changed. */
export interface Changed {
  readonly added: number;
  readonly removed: number;
}

/** With the kernel's part less than a millisecond. */
const atOnce = 100;
/** Two ends that are closer are the same. */
const sameEndMs = 2000;
/** More than these at a time are told together. */
const toldSingly = 20;
/** Each takes about 100 bytes; the oldest is forgotten. */
const liftsKept = 20_000;
/** Others wait for the next full answer. */
const waitingKept = 20_000;

const origin = "crowdsec";

export class Remedy implements BanFollower {
  readonly counts = { taken: 0, lifted: 0 };
  /** Decisions that are not carried out, as of the last full answer. */
  refused: Refused = { malformed: 0, wide: 0, remedy: 0, scope: 0, neverBan: 0, room: 0 };
  readonly #options: RemedyOptions;
  #holdings = new Holdings();
  /** Decisions that LAPI said were deleted, since the last full answer. */
  readonly #deleted = new Set<number>();
  /** By source the newest decision that was lifted here. */
  readonly #lifted = new Map<string, number>();
  /** Sources for which there was no room, all of them counted in `refused.room`. */
  readonly #waiting = new Set<string>();

  constructor(options: RemedyOptions) {
    this.#options = options;
  }

  /** Sources that CrowdSec has banned. */
  get size(): number {
    return this.#holdings.size;
  }

  /** When CrowdSec's longest ban of a source ends; 0: it has none. */
  endOf(source: string): number {
    return longest(this.#holdings.of(source))?.untilMs ?? 0;
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      if ((change.kind !== "lift" && change.kind !== "release") || change.by === origin) continue;
      const { ban, atMs } = change;
      const source = ban.prefix.text;
      const held = this.#holdings.of(source);
      const isGone = change.kind === "lift" || claimOf(ban, origin, atMs) === undefined;
      if (held.length > 0 && isGone) this.#remember(source, Math.max(...held.map(({ id }) => id)));
    }
  }

  /** Carries an answer out, a slice between two turns of the caller. @returns what is to be asked about again. */
  *apply(
    answer: Answer,
    nowMs: () => number,
  ): Generator<void, Changed & { readonly unsure: readonly Decision[] }, void> {
    const before = { ...this.counts };
    let unsure: readonly Decision[] = [];
    let touched: Iterable<string>;
    let { refused } = this;
    if (answer.isFull) {
      this.#holdings = answer.holdings;
      this.#deleted.clear();
      this.#waiting.clear();
      refused = { ...answer.notTaken, neverBan: 0, room: answer.tooMany };
      for (const source of this.#lifted.keys()) if (this.#holdings.of(source).length === 0) this.#lifted.delete(source);
      touched = this.#holdings.sources();
    } else {
      for (const why of ["malformed", "wide", "remedy", "scope"] as const) refused[why] += answer.notTaken[why];
      for (const decision of answer.came) if (!this.#holdings.add(decision, answer.atMs)) refused.room++;
      unsure = this.#gone(answer, nowMs());
      const isUnsure = new Set(unsure);
      const gone = answer.went.filter((decision) => !isUnsure.has(decision));
      touched = new Set([...answer.came, ...gone].map(({ prefix }) => prefix.text));
    }
    // Nothing ends before what came: a network may be banned now whose hosts were, or the reverse.
    yield* this.#settle(touched, refused, nowMs);
    if (answer.isFull) yield* this.#withdrawOthers(nowMs);
    yield* this.#fill(this.counts.lifted - before.lifted, refused, nowMs);
    this.refused = refused;
    return { added: this.counts.taken - before.taken, removed: this.counts.lifted - before.lifted, unsure };
  }

  /** What CrowdSec has on one address or range now, in place of what was known. */
  *replace({ prefix, value }: Decision, now: readonly Decision[], nowMs: () => number): Generator<void, void, void> {
    const { ownOrigin } = this.#options;
    const { lifted } = this.counts;
    this.#holdings.remove(prefix.text, value);
    for (const decision of now) if (decision.origin !== ownOrigin) this.#holdings.add(decision, nowMs());
    yield* this.#settle([prefix.text], this.refused, nowMs);
    yield* this.#fill(this.counts.lifted - lifted, this.refused, nowMs);
  }

  /**
   * Takes out what is over. LAPI says that a decision is deleted more than once, and when another one is left on the
   * same address it says so of the last one only, whatever it had said was the longest.
   * @returns those that are to be asked about: another decision was known there.
   */
  #gone({ went, came }: Answer, nowMs: number): readonly Decision[] {
    const isNew = new Set(came.map(({ id }) => id));
    return went.filter(({ prefix, value, id }) => {
      const held = this.#holdings.of(prefix.text).find((one) => one.value === value);
      if (held === undefined || this.#deleted.has(id)) return false;
      if (this.#deleted.size < mostChanges) this.#deleted.add(id);
      if (held.untilMs > nowMs + sameEndMs) return !isNew.has(held.id);
      this.#holdings.remove(prefix.text, value);
      return false;
    });
  }

  /** Ends claims of which CrowdSec knows nothing any more, also of an earlier run. */
  *#withdrawOthers(nowMs: () => number): Generator<void, void, void> {
    const { enforcement } = this.#options;
    let looked = 0;
    const gone: Prefix[] = [];
    for (const ban of enforcement.bans.all()) {
      if (++looked % 1000 === 0) yield;
      if (hasClaim(ban, nowMs()) && this.#holdings.of(ban.prefix.text).length === 0) gone.push(ban.prefix);
    }
    yield* this.#withdraw(gone, nowMs);
  }

  /** Claims that ended made room for as many that had none. */
  *#fill(ended: number, refused: Refused, nowMs: () => number): Generator<void, void, void> {
    yield* this.#settle([...this.#waiting.values().take(ended)], refused, nowMs);
  }

  *#withdraw(prefixes: readonly Prefix[], nowMs: () => number): Generator<void, void, void> {
    const { enforcement } = this.#options;
    if (prefixes.length <= toldSingly) {
      for (const prefix of prefixes) this.#end(prefix, nowMs());
      this.counts.lifted += prefixes.length;
      return;
    }
    for (let start = 0; start < prefixes.length; start += atOnce) {
      this.counts.lifted += enforcement.withdraw(prefixes.slice(start, start + atOnce), origin, nowMs());
      yield;
    }
  }

  #end(prefix: Prefix, nowMs: number): void {
    this.#options.enforcement.liftClaims(prefix, nowMs, origin, (claim) => claim.origin === origin);
  }

  /** Brings the table in line with what is held on these sources. */
  *#settle(sources: Iterable<string>, refused: Refused, nowMs: () => number): Generator<void, void, void> {
    const changed: string[] = [];
    let looked = 0;
    let asked = 0;
    for (const source of sources) {
      const change = this.#change(source, asked, refused, nowMs());
      if (change !== undefined) changed.push(source);
      if (takesPlace(change)) asked++;
      if (++looked % 1000 === 0) yield;
    }
    const isQuiet = changed.length > toldSingly;
    const gone: Prefix[] = [];
    for (let start = 0; start < changed.length; start += atOnce) {
      const requests: Request[] = [];
      // Looked at again: somebody may have lifted it meanwhile.
      for (const source of changed.slice(start, start + atOnce)) {
        const change = this.#change(source, requests.filter(takesPlace).length, undefined, nowMs());
        if (change === "end") gone.push(requirePrefix(source));
        else if (change !== undefined) requests.push(change);
      }
      this.#take(requests, isQuiet, nowMs());
      yield;
    }
    yield* this.#withdraw(gone, nowMs);
  }

  /** What is to be asked for, or that the claim is to end; undefined: it is as it should be, or cannot be. */
  #change(source: string, asked: number, refused: Refused | undefined, nowMs: number): Request | "end" | undefined {
    const { enforcement, hasRoom } = this.#options;
    if (refused !== undefined && this.#waiting.delete(source)) refused.room--;
    const ban = enforcement.bans.byText(source);
    const claim = ban === undefined ? undefined : claimOf(ban, origin, nowMs);
    const wanted = this.#wanted(source, nowMs);
    if (wanted === undefined) return claim && "end";
    const { untilMs, reason } = wanted;
    if (claim !== undefined && Math.abs(claim.untilMs - untilMs) <= sameEndMs) return undefined;
    const prefix = ban?.prefix ?? requirePrefix(source);
    const why =
      enforcement.neverBan.conflict(prefix) !== undefined
        ? "neverBan"
        : ban === undefined && !hasRoom(prefix, asked)
          ? "room"
          : undefined;
    if (why === undefined) return { prefix, origin, reason, untilMs, before: claim?.untilMs, isNew: ban === undefined };
    if (refused !== undefined) this.#refuse(source, why, refused);
    return undefined;
  }

  #refuse(source: string, why: "neverBan" | "room", refused: Refused): void {
    refused[why]++;
    if (why === "room" && this.#waiting.size < waitingKept) this.#waiting.add(source);
  }

  /** Of what is held on a source the ban that counts here. */
  #wanted(source: string, nowMs: number): Held | undefined {
    const lifted = this.#lifted.get(source) ?? -1;
    return longest(this.#holdings.of(source).filter(({ id, untilMs }) => id > lifted && untilMs > nowMs));
  }

  #take(requests: readonly Request[], isQuiet: boolean, nowMs: number): void {
    if (requests.length === 0) return;
    // An origin that asks again never shortens what it asked for before.
    for (const { prefix, untilMs, before = 0 } of requests) if (before > untilMs) this.#end(prefix, nowMs);
    const asked = requests.map(({ before: _, isNew: __, ...request }) => request);
    const results = this.#options.enforcement.banMany(asked, nowMs, isQuiet);
    this.counts.taken += results.filter(
      ({ kind }, index) => kind === "banned" && requests[index]?.before === undefined,
    ).length;
  }

  #remember(source: string, id: number): void {
    this.#lifted.delete(source);
    this.#lifted.set(source, id);
    if (this.#lifted.size <= liftsKept) return;
    const [oldest] = this.#lifted.keys();
    if (oldest !== undefined) this.#lifted.delete(oldest);
  }
}

function longest(held: readonly Held[]): Held | undefined {
  let last: Held | undefined;
  for (const one of held) if (last === undefined || one.untilMs > last.untilMs) last = one;
  return last;
}

function takesPlace(change: Request | "end" | undefined): boolean {
  return change !== undefined && change !== "end" && change.isNew;
}

function hasClaim(ban: Ban, nowMs: number): boolean {
  return claimsOf(ban, nowMs).some((claim) => claim.origin === origin);
}
