// SPDX-License-Identifier: Apache-2.0
// The one door for bans. Every claim and every lift goes through here, whoever asks: never-ban list, table,
// fence, in this order; then whoever follows is told: connections are cut, events and log lines made. The
// table is the truth; the fence holds as much of it as has room.
import type { Prefix } from "../address.ts";
import type { Client } from "../client.ts";
import type { BanCounters } from "../counters.ts";
import type { Bans } from "./bans.ts";
import type { BanChange, BanFollower, BanRequest, BanResult, Lifted, SavedBan } from "./change.ts";
import {
  atOneGate,
  type Ban,
  banWith,
  type Claim,
  everywhere,
  type FencedBan,
  type Origin,
  withClaim,
  withoutClaims,
} from "./claim.ts";
import type { Fence, FenceOutcome, FenceRecord } from "./fence.ts";
import { Fencing } from "./fencing.ts";
import { NeverBan, type NeverBanEntry } from "./never_ban.ts";

/** Ends of claims: by whose word, and of which. */
interface Ending {
  readonly by: Origin;
  readonly isOver: (claim: Claim) => boolean;
  readonly isQuiet?: boolean | undefined;
}

/** Ended bans taken out in one go: with their kernel entries a fifth of a millisecond. */
export const sweepLimit = 100;
/** By batch calls about a millisecond. */
const refilledAtOnce = 500;
/** Comparisons of two prefixes between two turns: a tenth of a millisecond. */
const comparedAtOnce = 2000;

export class Enforcement {
  readonly bans: Bans;
  readonly neverBan: NeverBan;
  readonly #counters: BanCounters;
  readonly #fencing: Fencing | undefined;
  #followers: BanFollower[] = [];
  /** Bans that ended while something else was done; told together with it. */
  #pending: BanChange[] = [];

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence | undefined, counters: BanCounters) {
    this.bans = bans;
    this.neverBan = neverBan;
    this.#counters = counters;
    this.#fencing = fence === undefined ? undefined : new Fencing(bans, neverBan, fence, counters);
  }

  /** Told of every change from now on, in the order of joining. @returns takes it back. */
  follow(follower: BanFollower): () => void {
    this.#followers.push(follower);
    return () => {
      this.#followers = this.#followers.filter((other) => other !== follower);
    };
  }

  /** False: nothing is written into the kernel's map, or taken out of it. */
  get hasFence(): boolean {
    return this.#fencing !== undefined;
  }

  /** Prefixes that stand in the kernel for their dense neighbours. */
  get folds(): number {
    return this.#fencing?.folds ?? 0;
  }

  /** The fold that blocks a source in the kernel, or the prefix itself where it is one. */
  foldOf(prefix: Prefix): Prefix | undefined {
    return this.#fencing?.foldOf(prefix);
  }

  /** Bans that user space alone enforces, since the kernel could not take them. */
  get userSpaceOnly(): number {
    return this.#fencing === undefined ? 0 : this.bans.standing(undefined);
  }

  ban(request: BanRequest, nowMs: number): BanResult {
    const conflict = this.neverBan.conflict(request.prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const claim = claimOf(request, nowMs);
    const ban = this.#claim(request.prefix, claim, nowMs);
    if (ban === undefined) return this.#unchanged(request.prefix);
    const fence = this.#fencing?.put(ban, nowMs);
    this.#count(claim);
    this.#tell({ kind: "ban", atMs: nowMs, ban, claim, isAdopted: false, fence });
    return { kind: "banned", ban, fence, isChanged: true };
  }

  /** Like `ban` for many, by batch calls. One result for each request. @param isQuiet they are not counted either. */
  banMany(requests: readonly BanRequest[], nowMs: number, isQuiet = false): BanResult[] {
    const [first] = requests;
    // One by itself, as most of another gate's are, costs half of a batch of one.
    if (first !== undefined && requests.length === 1 && !isQuiet) return [this.ban(first, nowMs)];
    const sizeBefore = this.bans.size;
    const made: { readonly ban: Ban; readonly claim: Claim }[] = [];
    const results = requests.map((request): BanResult => {
      const conflict = this.neverBan.conflict(request.prefix);
      if (conflict !== undefined) return { kind: "spared", conflict };
      const claim = claimOf(request, nowMs);
      const ban = this.#claim(request.prefix, claim, nowMs);
      if (ban === undefined) return this.#unchanged(request.prefix);
      if (!isQuiet) this.#count(claim);
      made.push({ ban, claim });
      return { kind: "banned", ban, fence: undefined, isChanged: true };
    });
    // What a later request replaced or evicted must not reach the kernel, where nobody would end it.
    const allNew = this.bans.size === sizeBefore + made.length;
    const last = new Map(allNew ? [] : made.map(({ ban }) => [ban.prefix.text, ban]));
    const isKept = ({ prefix }: Ban) => this.bans.get(prefix) !== undefined;
    const kept = allNew ? made : made.filter(({ ban }) => last.get(ban.prefix.text) === ban && isKept(ban));
    const outcomes = this.#putMany(
      kept.map(({ ban }) => ban),
      nowMs,
    );
    const enforced: FenceOutcome = { kind: "enforced" };
    for (const { ban, claim } of kept) {
      const fence = ban.standsIn === atOneGate ? undefined : outcomes && (outcomes.get(ban) ?? enforced);
      this.#pending.push({ kind: "ban", atMs: nowMs, ban, claim, isAdopted: false, fence, isQuiet });
    }
    this.#tell();
    return results;
  }

  /**
   * Takes up entries that stand in the fence already, with the time that they have left: from before the
   * start, or written by another tool. Where the table's own end is later, the entry is put right; where the source is
   * never banned, it is taken out, but for one that is not ttgate's to take out.
   * @returns one result for each.
   */
  adopt(records: readonly FenceRecord[], nowMs: number): BanResult[] {
    const results = records.map((record) => this.#adopt(record, nowMs));
    this.#fencing?.drop(records.filter(({ origin }, at) => results[at]?.kind === "spared" && origin !== "foreign"));
    this.#tell();
    return results;
  }

  #adopt(record: FenceRecord, nowMs: number): BanResult {
    const { prefix, expiresMs, origin, reason } = record;
    const conflict = this.neverBan.conflict(prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const claim: Claim = { origin, reason, sinceMs: nowMs, untilMs: expiresMs, evidence: undefined };
    const made = this.#claim(prefix, claim, nowMs);
    const ban = made ?? this.bans.get(prefix);
    if (ban === undefined) return this.#unchanged(prefix);
    const fence: FenceOutcome | undefined =
      everywhere(ban)?.untilMs === expiresMs ? { kind: "enforced" } : this.#fencing?.put(ban, nowMs);
    if (made !== undefined) this.#pending.push({ kind: "ban", atMs: nowMs, ban, claim, isAdopted: true, fence });
    return { kind: "banned", ban, fence, isChanged: made !== undefined };
  }

  /**
   * What an earlier run had saved, or another process says of sources, in place of what the table has. Nobody is told:
   * it is not news.
   * @returns false when some of it was left out: it is never banned, or there is no room.
   */
  replace(saved: readonly SavedBan[], nowMs: number): boolean {
    const kept: Ban[] = [];
    const gone: SavedBan[] = [];
    let isAll = true;
    for (const one of saved) {
      const isSpared = one.claims.length > 0 && this.neverBan.conflict(one.prefix) !== undefined;
      const ban = isSpared ? undefined : banWith(one.prefix, one.claims);
      if (isSpared) isAll = false;
      if (ban === undefined) {
        this.bans.remove(one.prefix);
        gone.push(one);
      } else {
        this.#put(ban, nowMs);
        kept.push(ban);
      }
    }
    // The others' entries are written over: a moment without one would let a packet through.
    this.#fencing?.drop(gone);
    if (this.#pending.length > 0) isAll = false;
    this.#pending = [];
    this.#putMany(kept, nowMs);
    return isAll;
  }

  /**
   * Ends claims on prefixes and on everything inside them; what is inside a range a slice between two turns of the
   * caller.
   * @param origin whose claims; undefined: an operator ends all but foreign ones, whose entries are not
   * ttgate's to take out.
   */
  *lift(prefixes: readonly Prefix[], nowMs: () => number, origin?: Origin): Generator<void, Lifted, void> {
    const isOver = (claim: Claim) => (origin === undefined ? claim.origin !== "foreign" : claim.origin === origin);
    const lifted: { ended: Prefix[]; staying: Prefix[] } = { ended: [], staying: [] };
    const end = (some: readonly Prefix[]) => {
      const { ended, staying } = this.#end(some, { by: origin ?? "operator", isOver }, nowMs());
      for (const { prefix } of ended) lifted.ended.push(prefix);
      for (const { prefix } of staying) lifted.staying.push(prefix);
    };
    const alone: Prefix[] = [];
    const ranges: Prefix[] = [];
    for (const prefix of prefixes) (this.bans.isAlone(prefix) ? alone : ranges).push(prefix);
    end(alone);
    for (const range of ranges) {
      for (const slice of this.bans.within(range)) {
        end(slice);
        yield;
      }
    }
    for (const prefix of prefixes) this.#fencing?.unfold(prefix, nowMs());
    return lifted;
  }

  /**
   * Ends some claims on exactly this prefix, whoever made them, by the word of somebody else.
   * @returns the ban that ended; undefined where something is left of it.
   */
  liftClaims(prefix: Prefix, nowMs: number, by: Origin, isOver: (claim: Claim) => boolean): Ban | undefined {
    const { ended, staying } = this.#end([prefix], { by, isOver }, nowMs);
    if (ended.length + staying.length > 0) this.#fencing?.unfold(prefix, nowMs);
    return ended[0];
  }

  /** Ends an origin's claims on exactly these prefixes, quietly. @returns how many of them it had. */
  withdraw(prefixes: readonly Prefix[], origin: Origin, nowMs: number): number {
    const isOver = (claim: Claim) => claim.origin === origin;
    const { ended, staying } = this.#end(prefixes, { by: origin, isOver, isQuiet: true }, nowMs);
    for (const { prefix } of ended) this.#fencing?.unfold(prefix, nowMs);
    return ended.length + staying.length;
  }

  /**
   * Who is never banned from now on. Bans that stand against it end, a slice between two turns of the caller; no new
   * ones are made.
   */
  *protect(entries: readonly NeverBanEntry[], nowMs: () => number): Generator<void, void, void> {
    const added = this.neverBan.replace(entries);
    if (added.length === 0) return;
    const fresh = new NeverBan(added);
    let conflicting: Prefix[] = [];
    let compared = 0;
    for (const prefix of this.bans.prefixes()) {
      if (fresh.conflict(prefix) !== undefined) conflicting.push(prefix);
      compared += added.length;
      if (compared < comparedAtOnce && conflicting.length < sweepLimit) continue;
      this.#spare(conflicting, nowMs());
      conflicting = [];
      compared = 0;
      yield;
    }
    this.#spare(conflicting, nowMs());
  }

  /**
   * True when the client's source is banned and the ban is running. One that comes through to here for
   * want of room in the kernel is offered to it again.
   */
  refuses(client: Client, nowMs: number, gate?: string): boolean {
    if (this.bans.size === 0) return false;
    const standing = this.bans.standingOf(client, nowMs, gate);
    if (standing === undefined) return false;
    const ban = standing.map === undefined ? this.bans.find(client, nowMs, gate) : undefined;
    if (ban !== undefined) this.#fencing?.put(ban, nowMs);
    return true;
  }

  /** True when the fence holds a running ban of the client: nothing that it sends arrives any more. */
  isFenced(client: Client, nowMs: number): boolean {
    const ban = this.bans.find(client, nowMs);
    return ban?.standsIn !== undefined && (everywhere(ban)?.untilMs ?? 0) > nowMs;
  }

  /** A ban whose entry is gone although it should stand there: another tool took it out. */
  vanished(ban: FencedBan, nowMs: number): boolean {
    return this.#fencing?.vanished(ban, nowMs) === true;
  }

  /** Their entries were taken out by another tool: so are the bans. */
  letGo(prefixes: readonly Prefix[], nowMs: number): void {
    for (const prefix of prefixes) {
      const ban = this.bans.remove(prefix);
      if (ban !== undefined) this.#pending.push({ kind: "lift", atMs: nowMs, ban, by: "map" });
    }
    this.#tell();
  }

  /** Writes a ban into the fence once more. */
  renew(prefix: Prefix, nowMs: number): void {
    const ban = this.bans.get(prefix);
    if (ban !== undefined) this.#fencing?.put(ban, nowMs);
  }

  /** The fence is empty: writes every ban anew, a slice between two turns of the caller. */
  *refill(nowMs: () => number): Generator<void, void, void> {
    if (this.#fencing === undefined) return;
    const all = this.bans.all();
    for (let slice = [...all.take(refilledAtOnce)]; slice.length > 0; slice = [...all.take(refilledAtOnce)]) {
      this.#putMany(slice, nowMs());
      yield;
    }
  }

  /** Bans that are over leave the table and the fence. @returns how many; `sweepLimit`: there are more. */
  sweep(nowMs: number): number {
    const ended = this.bans.due(nowMs, sweepLimit);
    this.#fencing?.drop(ended);
    for (const ban of ended) this.#pending.push({ kind: "end", atMs: nowMs, ban, by: "time" });
    this.#fencing?.tick(nowMs);
    this.#tell();
    return ended.length;
  }

  /** @returns undefined when it changes nothing. */
  #claim(prefix: Prefix, claim: Claim, nowMs: number): Ban | undefined {
    const before = this.bans.get(prefix);
    const ban = withClaim(before, prefix, claim, nowMs);
    if (ban === before) return undefined;
    this.#put(ban, nowMs);
    return ban;
  }

  #put(ban: Ban, nowMs: number): void {
    const { prefix } = ban;
    ban.standsIn = this.#fencing?.placeOf(ban);
    this.#insert(ban, nowMs);
    // A ban of all of them stands for itself.
    const fold = this.foldOf(prefix);
    if (fold !== undefined && fold.bits === prefix.bits) this.#fencing?.unfold(prefix, nowMs);
  }

  #unchanged(prefix: Prefix): BanResult {
    const ban = this.bans.get(prefix);
    if (ban === undefined) throw new Error(`Ban of ${prefix.text}: it is not in the table`);
    const fence: FenceOutcome | undefined =
      this.#fencing === undefined || ban.standsIn === atOneGate
        ? undefined
        : { kind: ban.standsIn === undefined ? "full" : "enforced" };
    return { kind: "banned", ban, fence, isChanged: false };
  }

  #insert(ban: Ban, nowMs: number): void {
    const evicted = this.bans.add(ban);
    if (evicted === undefined) return;
    this.#fencing?.drop([evicted]);
    this.#pending.push({ kind: "end", atMs: nowMs, ban: evicted, by: "room" });
  }

  #putMany(bans: readonly Ban[], nowMs: number): ReadonlyMap<Ban, FenceOutcome> | undefined {
    return this.#fencing?.putMany(bans, nowMs);
  }

  /** Bans lose some of their claims: those that end, and those that go on, perhaps to an earlier end. */
  #end(prefixes: readonly Prefix[], { by, isOver, isQuiet }: Ending, nowMs: number): { ended: Ban[]; staying: Ban[] } {
    const ended: Ban[] = [];
    const staying: Ban[] = [];
    for (const prefix of prefixes) {
      const ban = this.bans.get(prefix);
      const left = ban === undefined ? undefined : withoutClaims(ban, isOver, nowMs);
      if (ban === undefined || left === ban) continue;
      if (left !== undefined) {
        this.#release(left, { by, isQuiet }, nowMs);
        staying.push(left);
      } else {
        this.bans.takeOut(prefix);
        ended.push(ban);
      }
    }
    this.#fencing?.drop(ended);
    for (const ban of ended) this.#pending.push({ kind: "lift", atMs: nowMs, ban, by, isQuiet });
    this.#tell();
    return { ended, staying };
  }

  #release(left: Ban, { by, isQuiet }: Pick<Ending, "by" | "isQuiet">, nowMs: number): void {
    left.standsIn = this.#fencing?.placeOf(left);
    this.bans.add(left);
    if (left.standsIn === atOneGate) this.#fencing?.drop([left]);
    else this.#fencing?.put(left, nowMs);
    this.#pending.push({ kind: "release", atMs: nowMs, ban: left, by, isQuiet });
  }

  #spare(prefixes: readonly Prefix[], nowMs: number): void {
    for (const prefix of prefixes) {
      const conflict = this.neverBan.conflict(prefix);
      const ban = this.bans.get(prefix);
      if (conflict === undefined || ban === undefined || ban.origin === "foreign") continue;
      this.bans.remove(prefix);
      this.#fencing?.drop([ban]);
      this.#fencing?.unfold(prefix, nowMs);
      this.#pending.push({ kind: "end", atMs: nowMs, ban, by: conflict });
    }
    this.#tell();
  }

  #count({ reason }: Claim): void {
    this.#counters.bansTotal++;
    this.#counters.bansByProtocol.set(reason, (this.#counters.bansByProtocol.get(reason) ?? 0) + 1);
  }

  #tell(...last: readonly BanChange[]): void {
    const changes = this.#pending.length === 0 ? last : [...this.#pending, ...last];
    if (changes.length === 0) return;
    this.#pending = [];
    for (const follower of this.#followers) follower.bansChanged(changes);
  }
}

function claimOf(request: BanRequest, nowMs: number): Claim {
  const { origin, reason, sinceMs = nowMs, untilMs, evidence, gate, isLocal } = request;
  return { origin, reason, sinceMs, untilMs, evidence, gate, isLocal };
}
