// SPDX-License-Identifier: Apache-2.0
// The one door for bans. Every claim and every lift goes through here, whoever asks: never-ban list, table,
// fence, in this order; then whoever follows is told: connections are cut, events and log lines made. The
// table is the truth; the fence holds as much of it as has room.
import type { Prefix } from "../address.ts";
import type { Client } from "../client.ts";
import type { BanCounters } from "../counters.ts";
import type { Bans } from "./bans.ts";
import {
  atOneGate,
  type Ban,
  type Claim,
  type Evidence,
  everywhere,
  foreignPart,
  type Origin,
  withClaim,
  withoutClaim,
  withoutClaims,
} from "./claim.ts";
import { entryOf, type Fence, type FenceOutcome, type FenceRecord } from "./fence.ts";
import { Folding } from "./folding.ts";
import type { NeverBan, NeverBanEntry } from "./never_ban.ts";

export interface BanRequest {
  readonly prefix: Prefix;
  readonly reason: string;
  readonly origin: Origin;
  /** Milliseconds since boot. */
  readonly untilMs: number;
  readonly evidence?: Evidence | undefined;
  /** The gate that saw it. */
  readonly gate?: string | undefined;
  /** It is to hold at that gate alone. */
  readonly isLocal?: boolean | undefined;
  /** Milliseconds since boot, where it was made elsewhere before; undefined: now. */
  readonly sinceMs?: number | undefined;
}

export type BanResult =
  /** `fence` is undefined without one. `isChanged`: false when the origin's own earlier claim ends no sooner. */
  | {
      readonly kind: "banned";
      readonly ban: Ban;
      readonly fence: FenceOutcome | undefined;
      readonly isChanged: boolean;
    }
  | { readonly kind: "spared"; readonly conflict: NeverBanEntry };

/**
 * What became of the table, told when the fence has had it too. `isQuiet`: one of very many, which whoever asked for
 * them tells of together: no line of the log and no event for each.
 */
export type BanChange =
  /** `isAdopted`: found in the fence, not asked for. */
  | {
      readonly kind: "ban";
      readonly atMs: number;
      readonly ban: Ban;
      readonly claim: Claim;
      readonly isAdopted: boolean;
      readonly fence: FenceOutcome | undefined;
      readonly isQuiet?: boolean | undefined;
    }
  /** One claim ended by its origin's word; others hold. */
  | {
      readonly kind: "release";
      readonly atMs: number;
      readonly ban: Ban;
      readonly by: Origin;
      readonly isQuiet?: boolean | undefined;
    }
  | {
      readonly kind: "lift";
      readonly atMs: number;
      readonly ban: Ban;
      readonly by: Origin;
      readonly isQuiet?: boolean | undefined;
    }
  /** Its time is over, it had to make room in a full table, or its source is never banned from now on. */
  | { readonly kind: "end"; readonly atMs: number; readonly ban: Ban; readonly by: "time" | "room" | NeverBanEntry };

export interface BanFollower {
  /** What changed together is told together, in order. */
  bansChanged(changes: readonly BanChange[]): void;
}

/** Ended bans taken out in one go: with their kernel entries half a millisecond. */
export const sweepLimit = 250;
/** By batch calls about 2 ms. */
const refilledAtOnce = 1000;
/** The kernel ends an entry by its own clock, which is read to 10 ms here and may hold whole seconds there. */
const clockToleranceMs = 1100;

export class Enforcement {
  readonly bans: Bans;
  readonly neverBan: NeverBan;
  readonly #fence: Fence | undefined;
  readonly #counters: BanCounters;
  readonly #folding: Folding | undefined;
  #followers: BanFollower[] = [];
  /** Bans that ended while something else was done; told together with it. */
  #pending: BanChange[] = [];

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence | undefined, counters: BanCounters) {
    this.bans = bans;
    this.neverBan = neverBan;
    this.#fence = fence;
    this.#counters = counters;
    this.#folding = fence === undefined ? undefined : new Folding(bans, neverBan, fence);
  }

  /** Told of every change from now on, in the order of joining. @returns takes it back. */
  follow(follower: BanFollower): () => void {
    this.#followers.push(follower);
    return () => {
      this.#followers = this.#followers.filter((other) => other !== follower);
    };
  }

  /** Prefixes that stand in the kernel for their dense neighbours. */
  get folds(): number {
    return this.#folding?.size ?? 0;
  }

  /** The fold that blocks a source in the kernel, or the prefix itself where it is one. */
  foldOf(prefix: Prefix): Prefix | undefined {
    return this.#folding?.covering(prefix);
  }

  /** Bans that user space alone enforces, since the kernel could not take them. */
  get userSpaceOnly(): number {
    return this.#fence === undefined ? 0 : this.bans.standing(undefined);
  }

  ban(request: BanRequest, nowMs: number): BanResult {
    const conflict = this.neverBan.conflict(request.prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const claim = claimOf(request, nowMs);
    const ban = this.#claim(request.prefix, claim, nowMs);
    if (ban === undefined) return this.#unchanged(request.prefix);
    const fence = this.#enforce(ban, nowMs);
    this.#count(claim);
    this.#tell({ kind: "ban", atMs: nowMs, ban, claim, isAdopted: false, fence });
    return { kind: "banned", ban, fence, isChanged: true };
  }

  /** Like `ban` for many, by batch calls. One result for each request. @param isQuiet they are not counted either. */
  banMany(requests: readonly BanRequest[], nowMs: number, isQuiet = false): BanResult[] {
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
    const kept = allNew ? made : made.filter(({ ban }) => this.bans.get(ban.prefix) === ban);
    const outcomes =
      this.#fence === undefined
        ? undefined
        : this.#enforceMany(
            kept.map(({ ban }) => ban),
            this.#fence,
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
   * start, or written by another tool. Where the table's own end is later, the entry is put right.
   * @returns one result for each.
   */
  adopt(records: readonly FenceRecord[], nowMs: number): BanResult[] {
    const results = records.map((record) => this.#adopt(record, nowMs));
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
      everywhere(ban)?.untilMs === expiresMs ? { kind: "enforced" } : this.#enforce(ban, nowMs);
    if (made !== undefined) this.#pending.push({ kind: "ban", atMs: nowMs, ban, claim, isAdopted: true, fence });
    return { kind: "banned", ban, fence, isChanged: made !== undefined };
  }

  /** Takes up what an earlier run had saved. Nobody is told: it is not news. */
  restore(saved: readonly { readonly prefix: Prefix; readonly claims: readonly Claim[] }[], nowMs: number): void {
    const kept: Ban[] = [];
    for (const { prefix, claims } of saved) {
      if (this.neverBan.conflict(prefix) !== undefined) continue;
      const bans = claims.flatMap((claim) => this.#claim(prefix, claim, nowMs) ?? []);
      const ban = bans.at(-1);
      if (ban !== undefined) kept.push(ban);
    }
    this.#pending = [];
    if (this.#fence !== undefined) this.#enforceMany(kept, this.#fence, nowMs);
  }

  /** What another process says of sources, in place of what the table has. Nobody is told: it was news there. */
  replace(saved: readonly { readonly prefix: Prefix; readonly claims: readonly Claim[] }[], nowMs: number): void {
    for (const { prefix } of saved) this.bans.remove(prefix);
    // The others' entries are written over: a moment without one would let a packet through.
    this.#fence?.dropMany(saved.flatMap(({ prefix, claims }) => (claims.length === 0 ? [prefix] : [])));
    this.restore(saved, nowMs);
  }

  /**
   * Ends claims on prefixes and on everything inside them.
   * @param origin whose claims; undefined: an operator ends all but foreign ones, whose entries are not
   * ttgate's to take out.
   * @returns the bans that ended.
   */
  lift(prefixes: readonly Prefix[], nowMs: number, origin?: Origin): Ban[] {
    const lifted: Ban[] = [];
    const by = origin ?? "operator";
    for (const ban of prefixes.flatMap((prefix) => this.bans.removeWithin(prefix))) {
      const left = origin === undefined ? foreignPart(ban, nowMs) : withoutClaim(ban, origin, nowMs);
      if (left === undefined) lifted.push(ban);
      else if (left === ban) this.bans.add(ban);
      else this.#release(left, by, nowMs);
    }
    this.#drop(lifted);
    for (const ban of lifted) this.#pending.push({ kind: "lift", atMs: nowMs, ban, by });
    for (const prefix of prefixes) this.#unfold(prefix, nowMs);
    this.#tell();
    return lifted;
  }

  /**
   * Ends some claims on exactly this prefix, whoever made them, by the word of somebody else.
   * @returns the ban that ended; undefined where something is left of it.
   */
  liftClaims(prefix: Prefix, nowMs: number, by: Origin, isLifted: (claim: Claim) => boolean): Ban | undefined {
    const ban = this.bans.get(prefix);
    const left = ban === undefined ? undefined : withoutClaims(ban, isLifted, nowMs);
    if (ban === undefined || left === ban) return undefined;
    this.bans.remove(prefix);
    if (left !== undefined) this.#release(left, by, nowMs);
    else {
      this.#drop([ban]);
      this.#pending.push({ kind: "lift", atMs: nowMs, ban, by });
    }
    this.#unfold(prefix, nowMs);
    this.#tell();
    return left === undefined ? ban : undefined;
  }

  /** Ends an origin's claims on exactly these prefixes, quietly. @returns how many of them it had. */
  withdraw(prefixes: readonly Prefix[], origin: Origin, nowMs: number): number {
    const ended: Ban[] = [];
    let count = 0;
    for (const prefix of prefixes) {
      const ban = this.bans.get(prefix);
      const left = ban === undefined ? undefined : withoutClaim(ban, origin, nowMs);
      if (ban === undefined || left === ban) continue;
      count++;
      if (left !== undefined) this.#release(left, origin, nowMs, true);
      else {
        this.bans.remove(prefix);
        ended.push(ban);
      }
    }
    this.#drop(ended);
    for (const ban of ended) {
      this.#pending.push({ kind: "lift", atMs: nowMs, ban, by: origin, isQuiet: true });
      this.#unfold(ban.prefix, nowMs);
    }
    this.#tell();
    return count;
  }

  /** Who is never banned from now on. Bans that stand against it end. */
  protect(entries: readonly NeverBanEntry[], nowMs: number): void {
    if (!this.neverBan.replace(entries)) return;
    for (const ban of this.bans.all()) {
      const conflict = this.neverBan.conflict(ban.prefix);
      if (conflict === undefined || ban.origin === "foreign") continue;
      this.bans.remove(ban.prefix);
      this.#drop([ban]);
      this.#unfold(ban.prefix, nowMs);
      this.#pending.push({ kind: "end", atMs: nowMs, ban, by: conflict });
    }
    this.#tell();
  }

  /**
   * True when the client's source is banned and the ban is running. One that comes through to here for
   * want of room in the kernel is offered to it again.
   */
  refuses(client: Client, nowMs: number, gate?: string): boolean {
    if (this.bans.size === 0) return false;
    const ban = this.bans.find(client, nowMs, gate);
    if (ban === undefined) return false;
    if (ban.standsIn === undefined) this.#enforce(ban, nowMs);
    return true;
  }

  /** True when the fence holds a running ban of the client: nothing that it sends arrives any more. */
  isFenced(client: Client, nowMs: number): boolean {
    const ban = this.bans.find(client, nowMs);
    return ban?.standsIn !== undefined && (everywhere(ban)?.untilMs ?? 0) > nowMs;
  }

  /** A ban whose entry is gone although it should stand there: another tool took it out. */
  vanished(ban: Ban, nowMs: number): boolean {
    const untilMs = everywhere(ban)?.untilMs ?? 0;
    if (this.#fence === undefined || untilMs <= nowMs + clockToleranceMs) return false;
    const stands = ban.standsIn !== undefined && ban.standsIn !== inFold;
    return stands && this.#fence.record(ban.prefix) === undefined;
  }

  /** Their entries were taken out by another tool: so are the bans. */
  letGo(bans: readonly Ban[], nowMs: number): void {
    for (const ban of bans) {
      this.bans.remove(ban.prefix);
      this.#pending.push({ kind: "lift", atMs: nowMs, ban, by: "map" });
    }
    this.#tell();
  }

  /** Writes a ban into the fence once more. */
  renew(ban: Ban, nowMs: number): void {
    this.#enforce(ban, nowMs);
  }

  /** The fence is empty: writes every ban anew, a slice between two turns of the caller. */
  *refill(nowMs: () => number): Generator<void, void, void> {
    const fence = this.#fence;
    if (fence === undefined) return;
    const all = this.bans.all();
    for (let slice = [...all.take(refilledAtOnce)]; slice.length > 0; slice = [...all.take(refilledAtOnce)]) {
      this.#enforceMany(slice, fence, nowMs());
      yield;
    }
  }

  /** Bans that are over leave the table and the fence. @returns how many; `sweepLimit`: there are more. */
  sweep(nowMs: number): number {
    const ended = this.bans.due(nowMs, sweepLimit);
    if (ended.length > 0) this.#drop(ended);
    for (const ban of ended) this.#pending.push({ kind: "end", atMs: nowMs, ban, by: "time" });
    for (const ban of this.#folding?.tick(nowMs) ?? []) this.#enforce(ban, nowMs);
    this.#tell();
    return ended.length;
  }

  /** @returns undefined when it changes nothing. */
  #claim(prefix: Prefix, claim: Claim, nowMs: number): Ban | undefined {
    const before = this.bans.get(prefix);
    const ban = withClaim(before, prefix, claim, nowMs);
    if (ban === before) return undefined;
    // Taken to stand in the fence: nearly all will, and what does not is told by the fence.
    ban.standsIn = this.#placeOf(ban);
    this.#insert(ban, nowMs);
    if (this.foldOf(prefix)?.text === prefix.text) this.#unfold(prefix, nowMs);
    return ban;
  }

  #unchanged(prefix: Prefix): BanResult {
    const ban = this.bans.get(prefix);
    if (ban === undefined) throw new Error(`Ban of ${prefix.text}: it is not in the table`);
    const fence: FenceOutcome | undefined =
      this.#fence === undefined || ban.standsIn === atOneGate
        ? undefined
        : { kind: ban.standsIn === undefined ? "full" : "enforced" };
    return { kind: "banned", ban, fence, isChanged: false };
  }

  #insert(ban: Ban, nowMs: number): void {
    const evicted = this.bans.add(ban);
    if (evicted === undefined) return;
    this.#drop([evicted]);
    this.#pending.push({ kind: "end", atMs: nowMs, ban: evicted, by: "room" });
  }

  /** Where a ban is taken to stand. */
  #placeOf(ban: Ban): string | undefined {
    return everywhere(ban) === undefined ? this.#fence && atOneGate : this.#fence?.mapOf(ban.prefix);
  }

  /** A ban goes on without one of its claims, perhaps to an earlier end. */
  #release(left: Ban, by: Origin, nowMs: number, isQuiet = false): void {
    left.standsIn = this.#placeOf(left);
    this.bans.add(left);
    if (left.standsIn === atOneGate) this.#drop([left]);
    else this.#enforce(left, nowMs);
    this.#pending.push({ kind: "release", atMs: nowMs, ban: left, by, isQuiet });
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

  #enforce(ban: Ban, nowMs: number): FenceOutcome | undefined {
    const entry = entryOf(ban);
    if (this.#fence === undefined || entry === undefined) return undefined;
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    const outcome = this.#fence.put(entry);
    if (outcome.kind !== "enforced") this.bans.stand(ban, undefined);
    return this.#settle(ban, outcome, nowMs);
  }

  /** @returns what the fence did with those that it did not take at once. */
  #enforceMany(bans: readonly Ban[], fence: Fence, nowMs: number): Map<Ban, FenceOutcome> {
    const single = bans.filter((ban) => everywhere(ban) !== undefined && !this.#standsInFold(ban));
    const outcomes = fence.putMany(single.flatMap((ban) => entryOf(ban) ?? []));
    const refused: { readonly ban: Ban; readonly outcome: FenceOutcome }[] = [];
    for (let index = 0; index < single.length; index++) {
      const ban = single[index];
      const outcome = outcomes[index];
      if (ban === undefined || outcome?.kind === "enforced") continue;
      this.bans.stand(ban, undefined);
      refused.push({ ban, outcome: outcome ?? { kind: "full" } });
    }
    return new Map(refused.map(({ ban, outcome }) => [ban, this.#settle(ban, outcome, nowMs)]));
  }

  /** True, and noted, when a fold blocks the source. */
  #standsInFold(ban: Ban): boolean {
    if (this.foldOf(ban.prefix) === undefined) return false;
    this.bans.stand(ban, inFold);
    return true;
  }

  /** What became of a ban in the fence. In a full map its neighbours are folded, or the soonest goes. */
  #settle(ban: Ban, first: FenceOutcome, nowMs: number): FenceOutcome {
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    if (first.kind === "full" && this.#fold(ban, nowMs)) return { kind: "enforced" };
    const entry = entryOf(ban);
    const again = entry !== undefined && first.kind === "full" && this.#makeRoom(ban);
    const outcome = again ? (this.#fence?.put(entry) ?? first) : first;
    this.bans.stand(ban, outcome.kind === "enforced" ? this.#fence?.mapOf(ban.prefix) : undefined);
    if (outcome.kind === "full") this.#counters.kernelFull++;
    else if (outcome.kind === "failed") this.#counters.kernelFailed++;
    return outcome;
  }

  /** True when one prefix now stands for this ban and its neighbours. */
  #fold(ban: Ban, nowMs: number): boolean {
    const members = this.#folding?.fold(ban, nowMs);
    if (members === undefined) return false;
    for (const member of members) this.bans.stand(member, inFold);
    this.#fence?.dropMany(members.map(({ prefix }) => prefix));
    return true;
  }

  #unfold(prefix: Prefix, nowMs: number): void {
    for (const ban of this.#folding?.unfold(prefix, nowMs) ?? []) this.#enforce(ban, nowMs);
  }

  /** False when everything in the map ends later than this ban. */
  #makeRoom(ban: Ban): boolean {
    const victim = this.bans.soonestIn(this.#fence?.mapOf(ban.prefix) ?? "");
    if (victim === undefined || victim.untilMs >= ban.untilMs) return false;
    this.bans.stand(victim, undefined);
    return this.#fence?.drop(victim.prefix) === true;
  }

  #drop(bans: readonly Ban[]): void {
    this.#fence?.dropMany(bans.map(({ prefix }) => prefix));
  }
}

/** In place of a map's name: a prefix in the map of ranges stands for the ban and its neighbours. */
const inFold = "fold";

function claimOf({ prefix: _prefix, evidence, sinceMs, ...request }: BanRequest, nowMs: number): Claim {
  return { ...request, sinceMs: sinceMs ?? nowMs, evidence };
}
