// SPDX-License-Identifier: Apache-2.0
// Every ban and every lift goes through here, whoever asks: never-ban list, time-out table, kernel, in
// this order. The table is the truth; the fence (the kernel) holds as much of it as has room.
import { type Prefix, requirePrefix } from "./address.ts";
import type { Ban, BannedBy, Bans, Evidence } from "./bans.ts";
import type { Client } from "./client.ts";
import type { Counters } from "./counters.ts";
import { Expiry } from "./expiry.ts";
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

/** Ended bans taken out in one go: with their kernel entries about 2 ms. */
export const sweepLimit = 2000;
/** The kernel ends an entry by its own clock, which is read to 10 ms here and may hold whole seconds there. */
const clockToleranceMs = 1100;

export class Enforcement {
  readonly bans: Bans;
  readonly neverBan: NeverBan;
  readonly #fence: Fence | undefined;
  readonly #counters: Counters;
  /** For each kernel map the bans that stand in it: in a full one, the soonest to end makes room. */
  readonly #residents = new Map<string, Expiry<string>>();
  readonly #absent = new Set<string>();
  readonly #folding: Folding | undefined;

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence | undefined, counters: Counters) {
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
    return this.#absent.size;
  }

  ban(request: BanRequest, nowMs: number): BanResult {
    const conflict = this.neverBan.conflict(request.prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const ban = this.#record(request, nowMs);
    return { kind: "banned", ban, kernel: this.#enforce(ban, nowMs) };
  }

  /** Like `ban` for many, by batch calls. One result for each request; of equal prefixes the last stays. */
  banMany(requests: readonly BanRequest[], nowMs: number): BanResult[] {
    const results = requests.map((request): BanResult => {
      const conflict = this.neverBan.conflict(request.prefix);
      if (conflict !== undefined) return { kind: "spared", conflict };
      return { kind: "banned", ban: this.#record(request, nowMs), kernel: undefined };
    });
    if (this.#fence === undefined) return results;
    const made = results.flatMap((result) => (result.kind === "banned" ? [result.ban] : []));
    // What a later request replaced or evicted must not reach the kernel, where nobody would end it.
    const bans = made.filter((ban) => this.bans.get(ban.prefix) === ban);
    const single = bans.filter((ban) => this.foldOf(ban.prefix) === undefined);
    const outcomes = this.#fence.putMany(single.map(entryOf));
    for (const [index, ban] of single.entries()) this.#settle(ban, outcomes[index] ?? { kind: "full" }, nowMs);
    return results;
  }

  /** Takes up an entry that stands in the kernel already, with the time that it has left. */
  adopt(record: FenceRecord, nowMs: number): BanResult {
    const { prefix, expiresMs } = record;
    const conflict = this.neverBan.conflict(prefix);
    if (conflict !== undefined) return { kind: "spared", conflict };
    const by = record.foreign ? "foreign" : "map";
    const ban: Ban = { prefix, protocol: record.reason, by, evidence: undefined, sinceMs: nowMs, expiresMs };
    this.#insert(ban);
    this.#resident(ban);
    return { kind: "banned", ban, kernel: { kind: "enforced" } };
  }

  /** Ends the bans of prefixes and of everything inside them. @returns the bans that ended. */
  lift(prefixes: readonly Prefix[], nowMs: number): Ban[] {
    const lifted = new Set(prefixes.flatMap((prefix) => [...this.bans.within(prefix)]));
    for (const ban of lifted) this.bans.remove(ban.prefix);
    this.#release([...lifted]);
    for (const prefix of prefixes) this.#unfold(prefix, nowMs);
    return [...lifted];
  }

  /**
   * True when the client's source is banned and the ban is running. One that comes through to here for
   * want of room in the kernel is offered to it again.
   */
  refuses(client: Client, nowMs: number): boolean {
    if (this.bans.size === 0) return false;
    const ban = this.bans.find(client, nowMs);
    if (ban === undefined) return false;
    if (this.#absent.has(ban.prefix.text)) this.#enforce(ban, nowMs);
    return true;
  }

  /** A ban whose kernel entry is gone although it should stand there: another tool took it out. */
  vanished(ban: Ban, nowMs: number): boolean {
    if (this.#fence === undefined || ban.expiresMs <= nowMs + clockToleranceMs) return false;
    const stands = !this.#absent.has(ban.prefix.text) && this.foldOf(ban.prefix) === undefined;
    return stands && this.#fence.record(ban.prefix) === undefined;
  }

  /** Writes a ban into the kernel once more. */
  renew(ban: Ban, nowMs: number): void {
    this.#enforce(ban, nowMs);
  }

  /** Bans that are over leave the table and the kernel. @returns how many; `sweepLimit`: there are more. */
  sweep(nowMs: number): number {
    const ended = this.bans.due(nowMs, sweepLimit);
    if (ended.length > 0) this.#release(ended);
    for (const ban of this.#folding?.tick(nowMs) ?? []) this.#enforce(ban, nowMs);
    return ended.length;
  }

  #record({ prefix, protocol, by, forMs, evidence }: BanRequest, nowMs: number): Ban {
    const ban: Ban = { prefix, protocol, by, evidence, sinceMs: nowMs, expiresMs: nowMs + forMs };
    this.#insert(ban);
    if (this.foldOf(prefix)?.text === prefix.text) this.#unfold(prefix, nowMs);
    this.#counters.bansTotal++;
    this.#counters.bansByProtocol.set(protocol, (this.#counters.bansByProtocol.get(protocol) ?? 0) + 1);
    return ban;
  }

  #insert(ban: Ban): void {
    const earlier = this.bans.get(ban.prefix);
    if (earlier !== undefined) this.#forget(earlier);
    const evicted = this.bans.add(ban);
    if (evicted !== undefined) this.#release([evicted]);
  }

  #enforce(ban: Ban, nowMs: number): FenceOutcome | undefined {
    if (this.#fence === undefined) return undefined;
    if (this.foldOf(ban.prefix) !== undefined) return { kind: "enforced" };
    return this.#settle(ban, this.#fence.put(entryOf(ban)), nowMs);
  }

  /** What became of a ban in the kernel. In a full map its neighbours are folded, or the soonest goes. */
  #settle(ban: Ban, first: FenceOutcome, nowMs: number): FenceOutcome {
    if (this.foldOf(ban.prefix) !== undefined) return { kind: "enforced" };
    if (first.kind === "full" && this.#fold(ban, nowMs)) return { kind: "enforced" };
    const outcome = first.kind === "full" && this.#makeRoom(ban) ? (this.#fence?.put(entryOf(ban)) ?? first) : first;
    if (outcome.kind === "enforced") {
      this.#resident(ban);
      return outcome;
    }
    this.#absent.add(ban.prefix.text);
    if (outcome.kind === "full") this.#counters.kernelFull++;
    else this.#counters.kernelFailed++;
    return outcome;
  }

  /** True when one prefix now stands for this ban and its neighbours. */
  #fold(ban: Ban, nowMs: number): boolean {
    const members = this.#folding?.fold(ban, nowMs);
    if (members === undefined) return false;
    for (const member of members) this.#forget(member);
    this.#fence?.dropMany(members.map(({ prefix }) => prefix));
    return true;
  }

  #unfold(prefix: Prefix, nowMs: number): void {
    for (const ban of this.#folding?.unfold(prefix, nowMs) ?? []) this.#enforce(ban, nowMs);
  }

  /** False when everything in the map ends later than this ban. */
  #makeRoom(ban: Ban): boolean {
    const residents = this.#residentsOf(ban.prefix);
    const soonest = residents.soonest();
    const victim = soonest === undefined ? undefined : this.bans.get(requirePrefix(soonest));
    if (victim === undefined || victim.expiresMs >= ban.expiresMs) return false;
    residents.remove(victim.prefix.text, victim.expiresMs);
    this.#absent.add(victim.prefix.text);
    return this.#fence?.drop(victim.prefix) === true;
  }

  #release(bans: readonly Ban[]): void {
    for (const ban of bans) this.#forget(ban);
    this.#fence?.dropMany(bans.map(({ prefix }) => prefix));
  }

  #forget(ban: Ban): void {
    this.#absent.delete(ban.prefix.text);
    if (this.#fence !== undefined) this.#residentsOf(ban.prefix).remove(ban.prefix.text, ban.expiresMs);
  }

  #resident(ban: Ban): void {
    this.#absent.delete(ban.prefix.text);
    this.#residentsOf(ban.prefix).add(ban.prefix.text, ban.expiresMs);
  }

  #residentsOf(prefix: Prefix): Expiry<string> {
    const map = this.#fence?.mapOf(prefix) ?? "";
    const residents = this.#residents.get(map) ?? new Expiry<string>();
    this.#residents.set(map, residents);
    return residents;
  }
}

function entryOf({ prefix, expiresMs, protocol }: Ban): FenceEntry {
  return { prefix, expiresMs, reason: protocol };
}
