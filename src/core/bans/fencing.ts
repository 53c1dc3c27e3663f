// SPDX-License-Identifier: Apache-2.0
// What of the table stands in the fence, which may have less room: in a full map neighbours are folded, or the
// one that ends soonest makes room, and user space enforces what the fence did not take.
import type { Prefix } from "../address.ts";
import type { BanCounters } from "../counters.ts";
import type { Bans } from "./bans.ts";
import { atOneGate, type Ban, everywhere, type FencedBan, isAskedForByOperator } from "./claim.ts";
import { entryOf, type Fence, type FenceOutcome } from "./fence.ts";
import { Folding } from "./folding.ts";
import type { NeverBan } from "./never_ban.ts";

/** In place of a map's name: a prefix in the map of ranges stands for the ban and its neighbours. */
const inFold = "fold";
/** The kernel ends an entry by its own clock, which is read to 10 ms here and may hold whole seconds there. */
const clockToleranceMs = 1100;

export class Fencing {
  readonly #bans: Bans;
  readonly #fence: Fence;
  readonly #counters: BanCounters;
  readonly #folding: Folding;

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence, counters: BanCounters) {
    this.#bans = bans;
    this.#fence = fence;
    this.#counters = counters;
    this.#folding = new Folding(bans, neverBan, fence);
  }

  /** Prefixes that stand for their dense neighbours. */
  get folds(): number {
    return this.#folding.size;
  }

  /** The fold that blocks a source, or the prefix itself where it is one. */
  foldOf(prefix: Prefix): Prefix | undefined {
    return this.#folding.covering(prefix);
  }

  /** How many bans from before a ticket should have an entry of their own. */
  entriesBefore(ticket: number): number {
    return this.#bans.standingBefore(ticket, isMap);
  }

  /** Whether the ban of exactly this prefix is one of them. */
  hasEntryBefore(ticket: number, prefix: Prefix): boolean {
    return this.#bans.isStandingBefore(ticket, prefix, isMap);
  }

  /** Where a ban is taken to stand before the fence has had it: nearly all will. */
  placeOf(ban: Ban): string {
    return everywhere(ban) === undefined ? atOneGate : this.#fence.mapOf(ban.prefix);
  }

  /** @returns undefined for a ban that no fence is to have. */
  put(ban: Ban, nowMs: number): FenceOutcome | undefined {
    const entry = entryOf(ban);
    if (entry === undefined) return undefined;
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    const outcome = this.#fence.put(entry);
    if (outcome.kind !== "enforced") this.#bans.stand(ban, undefined);
    return this.#settle(ban, outcome, nowMs);
  }

  /** @returns what became of those that the fence did not take at once. */
  putMany(bans: readonly Ban[], nowMs: number): ReadonlyMap<Ban, FenceOutcome> {
    const single = bans.filter((ban) => everywhere(ban) !== undefined && !this.#standsInFold(ban));
    const outcomes = this.#fence.putMany(single.flatMap((ban) => entryOf(ban) ?? []));
    const refused: { readonly ban: Ban; readonly outcome: FenceOutcome }[] = [];
    for (const [index, ban] of single.entries()) {
      const outcome = outcomes[index] ?? { kind: "full" };
      if (outcome.kind === "enforced") continue;
      this.#bans.stand(ban, undefined);
      refused.push({ ban, outcome });
    }
    return new Map(refused.map(({ ban, outcome }) => [ban, this.#settle(ban, outcome, nowMs)]));
  }

  drop(bans: readonly Pick<Ban, "prefix">[]): void {
    if (bans.length > 0) this.#fence.dropMany(bans.map(({ prefix }) => prefix));
  }

  /** Ends folds around a prefix and inside it. */
  unfold(prefix: Prefix, nowMs: number): void {
    for (const ban of this.#folding.unfold(prefix, nowMs)) this.put(ban, nowMs);
  }

  /** Folds that are about to end. */
  tick(nowMs: number): void {
    for (const ban of this.#folding.tick(nowMs)) this.put(ban, nowMs);
  }

  /** A ban whose entry is gone although it should stand there. */
  vanished({ prefix, standsIn, untilMs = 0 }: FencedBan, nowMs: number): boolean {
    if (untilMs <= nowMs + clockToleranceMs) return false;
    return isMap(standsIn) && this.#fence.record(prefix) === undefined;
  }

  /** True, and noted, when a fold blocks the source. */
  #standsInFold(ban: Ban): boolean {
    if (this.foldOf(ban.prefix) === undefined) return false;
    this.#bans.stand(ban, inFold);
    return true;
  }

  /** What became of a ban in the fence. In a full map its neighbours are folded, or the soonest goes. */
  #settle(ban: Ban, first: FenceOutcome, nowMs: number): FenceOutcome {
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    if (first.kind === "full" && this.#fold(ban, nowMs)) return { kind: "enforced" };
    const entry = entryOf(ban);
    const again = entry !== undefined && first.kind === "full" && this.#makeRoom(ban);
    const outcome = again ? this.#fence.put(entry) : first;
    this.#bans.stand(ban, outcome.kind === "enforced" ? this.#fence.mapOf(ban.prefix) : undefined);
    if (outcome.kind === "full") this.#counters.kernelFull++;
    else if (outcome.kind === "failed") this.#counters.kernelFailed++;
    return outcome;
  }

  /** True when one prefix now stands for this ban and its neighbours. */
  #fold(ban: Ban, nowMs: number): boolean {
    const members = this.#folding.fold(ban, nowMs);
    if (members === undefined) return false;
    for (const member of members) this.#bans.stand(member, inFold);
    this.drop(members);
    return true;
  }

  /** False when everything in the map ends later than this ban. What an operator asked for goes before all others. */
  #makeRoom(ban: Ban): boolean {
    const victim = this.#bans.soonestIn(this.#fence.mapOf(ban.prefix));
    if (victim === undefined) return false;
    const rank = Number(isAskedForByOperator(ban)) - Number(isAskedForByOperator(victim));
    if (rank < 0 || (rank === 0 && victim.untilMs >= ban.untilMs)) return false;
    this.#bans.stand(victim, undefined);
    return this.#fence.drop(victim.prefix);
  }
}

function isMap(place: string | undefined): boolean {
  return place !== undefined && place !== inFold && place !== atOneGate;
}
