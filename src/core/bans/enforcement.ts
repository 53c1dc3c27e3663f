// SPDX-License-Identifier: Apache-2.0
// Every ban and every lift goes through here, whoever asks: never-ban list, time-out table, kernel, in
// this order. The table is the truth; the fence (the kernel) holds as much of it as has room.
import type { Prefix } from "../address.ts";
import type { Client } from "../client.ts";
import type { Counters } from "../counters.ts";
import type { Ban, BannedBy, Bans, Evidence } from "./bans.ts";
import type { Events, SourceEvent } from "./events.ts";
import type { Fence, FenceEntry, FenceOutcome, FenceRecord } from "./fence.ts";
import { Folding } from "./folding.ts";
import type { NeverBan, NeverBanEntry } from "./never_ban.ts";

export interface BanRequest {
  readonly prefix: Prefix;
  readonly protocol: string;
  readonly by: BannedBy;
  readonly forMs: number;
  readonly evidence: Evidence | undefined;
}

export type BanResult =
  /** `kernel` is undefined without a fence. */
  | { readonly kind: "banned"; readonly ban: Ban; readonly kernel: FenceOutcome | undefined }
  | { readonly kind: "spared"; readonly conflict: NeverBanEntry };

/** Ended bans taken out in one go: with their kernel entries half a millisecond. */
export const sweepLimit = 250;
/** The kernel ends an entry by its own clock, which is read to 10 ms here and may hold whole seconds there. */
const clockToleranceMs = 1100;

export class Enforcement {
  readonly bans: Bans;
  readonly neverBan: NeverBan;
  readonly #fence: Fence | undefined;
  readonly #counters: Counters;
  readonly #folding: Folding | undefined;
  readonly #events: Events | undefined;

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence | undefined, counters: Counters, events?: Events) {
    this.#events = events;
    this.bans = bans;
    this.neverBan = neverBan;
    this.#fence = fence;
    this.#counters = counters;
    this.#folding = fence === undefined ? undefined : new Folding(bans, neverBan, fence);
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
    const ban = this.#record(request, nowMs);
    const kernel = this.#enforce(ban, nowMs);
    this.#tell("ban", ban, ban.by, nowMs, kernel?.kind);
    return { kind: "banned", ban, kernel };
  }

  /** Like `ban` for many, by batch calls. One result for each request; of equal prefixes the last stays. */
  banMany(requests: readonly BanRequest[], nowMs: number): BanResult[] {
    const sizeBefore = this.bans.size;
    const results = requests.map((request): BanResult => {
      const conflict = this.neverBan.conflict(request.prefix);
      if (conflict !== undefined) return { kind: "spared", conflict };
      return { kind: "banned", ban: this.#record(request, nowMs), kernel: undefined };
    });
    const made: Ban[] = [];
    for (const result of results) if (result.kind === "banned") made.push(result.ban);
    // What a later request replaced or evicted must not reach the kernel, where nobody would end it.
    const allNew = this.bans.size === sizeBefore + made.length;
    const kept = allNew ? made : made.filter((ban) => this.bans.get(ban.prefix) === ban);
    const refused = this.#fence === undefined ? undefined : this.#enforceMany(kept, this.#fence, nowMs);
    for (const ban of kept) this.#tell("ban", ban, ban.by, nowMs, refused && (refused.get(ban) ?? "enforced"));
    return results;
  }

  /** @returns what the kernel did with those that it did not take at once. */
  #enforceMany(kept: readonly Ban[], fence: Fence, nowMs: number): Map<Ban, FenceOutcome["kind"]> {
    const single = kept.filter((ban) => !this.#standsInFold(ban));
    const outcomes = fence.putMany(single.map(entryOf));
    const refused: { readonly ban: Ban; readonly outcome: FenceOutcome }[] = [];
    for (let index = 0; index < single.length; index++) {
      const ban = single[index];
      const outcome = outcomes[index];
      if (ban === undefined || outcome?.kind === "enforced") continue;
      this.bans.stand(ban, undefined);
      refused.push({ ban, outcome: outcome ?? { kind: "full" } });
    }
    return new Map(refused.map(({ ban, outcome }) => [ban, this.#settle(ban, outcome, nowMs).kind]));
  }

  /** Takes up an entry that stands in the kernel already, with the time that it has left. */
  adopt(record: FenceRecord, nowMs: number): BanResult {
    const { prefix, expiresMs } = record;
    const conflict = this.neverBan.conflict(prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const by = record.foreign ? "foreign" : "map";
    const standsIn = this.#fence?.mapOf(prefix);
    const ban: Ban = { prefix, protocol: record.reason, by, evidence: undefined, sinceMs: nowMs, expiresMs, standsIn };
    this.#insert(ban, nowMs);
    this.#tell("ban", ban, by, nowMs, "enforced");
    return { kind: "banned", ban, kernel: { kind: "enforced" } };
  }

  /**
   * Ends the bans of prefixes and of everything inside them, but for foreign ones: their entries are not
   * ttgate's to take out. @returns the bans that ended.
   */
  lift(prefixes: readonly Prefix[], nowMs: number): Ban[] {
    const found = prefixes.flatMap((prefix) => this.bans.removeWithin(prefix));
    const lifted = found.filter(({ by }) => by !== "foreign");
    if (lifted.length < found.length) for (const ban of found) if (ban.by === "foreign") this.bans.add(ban);
    this.#release(lifted);
    for (const ban of lifted) this.#tell("lift", ban, "operator", nowMs);
    for (const prefix of prefixes) this.#unfold(prefix, nowMs);
    return lifted;
  }

  /**
   * True when the client's source is banned and the ban is running. One that comes through to here for
   * want of room in the kernel is offered to it again.
   */
  refuses(client: Client, nowMs: number): boolean {
    if (this.bans.size === 0) return false;
    const ban = this.bans.find(client, nowMs);
    if (ban === undefined) return false;
    if (ban.standsIn === undefined) this.#enforce(ban, nowMs);
    return true;
  }

  /** True when the kernel's map holds a running ban of the client: nothing that it sends arrives any more. */
  blocksInKernel(client: Client, nowMs: number): boolean {
    return this.bans.find(client, nowMs)?.standsIn !== undefined;
  }

  /** A ban whose kernel entry is gone although it should stand there: another tool took it out. */
  vanished(ban: Ban, nowMs: number): boolean {
    if (this.#fence === undefined || ban.expiresMs <= nowMs + clockToleranceMs) return false;
    const stands = ban.standsIn !== undefined && ban.standsIn !== inFold;
    return stands && this.#fence.record(ban.prefix) === undefined;
  }

  /** Its entry is gone: so is the ban. */
  letGo(ban: Ban, nowMs: number): void {
    this.bans.remove(ban.prefix);
    this.#tell("lift", ban, "map", nowMs);
  }

  /** Writes a ban into the kernel once more. */
  renew(ban: Ban, nowMs: number): void {
    this.#enforce(ban, nowMs);
  }

  /** Bans that are over leave the table and the kernel. @returns how many; `sweepLimit`: there are more. */
  sweep(nowMs: number): number {
    const ended = this.bans.due(nowMs, sweepLimit);
    if (ended.length > 0) this.#release(ended);
    for (const ban of ended) this.#tell("end", ban, "time", nowMs);
    for (const ban of this.#folding?.tick(nowMs) ?? []) this.#enforce(ban, nowMs);
    return ended.length;
  }

  #record({ prefix, protocol, by, forMs, evidence }: BanRequest, nowMs: number): Ban {
    // Taken to stand in the kernel: nearly all will, and what does not is told by the fence.
    const standsIn = this.#fence?.mapOf(prefix);
    const ban: Ban = { prefix, protocol, by, evidence, sinceMs: nowMs, expiresMs: nowMs + forMs, standsIn };
    this.#insert(ban, nowMs);
    if (this.foldOf(prefix)?.text === prefix.text) this.#unfold(prefix, nowMs);
    this.#counters.bansTotal++;
    this.#counters.bansByProtocol.set(protocol, (this.#counters.bansByProtocol.get(protocol) ?? 0) + 1);
    return ban;
  }

  #insert(ban: Ban, nowMs: number): void {
    const evicted = this.bans.add(ban);
    if (evicted === undefined) return;
    this.#release([evicted]);
    this.#tell("end", evicted, "room", nowMs);
  }

  #tell(
    type: "ban" | "lift" | "end",
    { prefix, protocol, evidence, expiresMs }: Ban,
    by: SourceEvent["by"],
    atMs: number,
    kernel?: SourceEvent["kernel"],
  ): void {
    const leftMs = Math.max(0, expiresMs - atMs);
    this.#events?.publish({ type, atMs, source: prefix.text, protocol, evidence, leftMs, by, kernel });
  }

  #enforce(ban: Ban, nowMs: number): FenceOutcome | undefined {
    if (this.#fence === undefined) return undefined;
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    const outcome = this.#fence.put(entryOf(ban));
    if (outcome.kind !== "enforced") this.bans.stand(ban, undefined);
    return this.#settle(ban, outcome, nowMs);
  }

  /** True, and noted, when a fold blocks the source. */
  #standsInFold(ban: Ban): boolean {
    if (this.foldOf(ban.prefix) === undefined) return false;
    this.bans.stand(ban, inFold);
    return true;
  }

  /** What became of a ban in the kernel. In a full map its neighbours are folded, or the soonest goes. */
  #settle(ban: Ban, first: FenceOutcome, nowMs: number): FenceOutcome {
    if (this.#standsInFold(ban)) return { kind: "enforced" };
    if (first.kind === "full" && this.#fold(ban, nowMs)) return { kind: "enforced" };
    const outcome = first.kind === "full" && this.#makeRoom(ban) ? (this.#fence?.put(entryOf(ban)) ?? first) : first;
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
    if (victim === undefined || victim.expiresMs >= ban.expiresMs) return false;
    this.bans.stand(victim, undefined);
    return this.#fence?.drop(victim.prefix) === true;
  }

  #release(bans: readonly Ban[]): void {
    this.#fence?.dropMany(bans.map(({ prefix }) => prefix));
  }
}

/** In place of a map's name: a prefix in the map of ranges stands for the ban and its neighbours. */
const inFold = "fold";

function entryOf({ prefix, expiresMs, protocol }: Ban): FenceEntry {
  return { prefix, expiresMs, reason: protocol };
}
