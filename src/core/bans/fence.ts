// SPDX-License-Identifier: Apache-2.0
// The port between the table of bans and whatever blocks sources outside of this process. The table
// decides; a fence carries out, says honestly what it did, and where it holds. Knows no fence by name.
// Times are in milliseconds since boot (CLOCK_BOOTTIME); Infinity is "without an end".
import type { Prefix, PrefixKey } from "../address.ts";
import { type Ban, everywhere, type Origin } from "./claim.ts";

export interface FenceEntry {
  readonly prefix: Prefix;
  readonly expiresMs: number;
  /** Protocol name, or what stands in its place. */
  readonly reason: string;
  /** Of the ban's leading claim. */
  readonly origin: Origin;
}

/** What a fence is to have of a ban; undefined for one that holds at one gate alone. */
export function entryOf(ban: Ban): FenceEntry | undefined {
  const claim = everywhere(ban);
  if (claim === undefined) return undefined;
  return { prefix: ban.prefix, expiresMs: claim.untilMs, reason: claim.reason, origin: claim.origin };
}

/** An entry as it stands in the fence, whoever wrote it. */
export interface FenceRecord extends Omit<FenceEntry, "origin"> {
  /** `map` for another tool's entry, and where the fence does not keep who wrote it. */
  readonly origin: Origin;
  readonly packets: number;
  readonly bytes: number;
  /** Undefined where the fence does not keep it, or nothing was dropped yet. */
  readonly lastSeenMs: number | undefined;
}

/** The key is used again for the next entry. */
export type EntryTest = (key: PrefixKey, expiresMs: number, packets: number) => boolean;

/** `full`: the table has to make room first. `failed`: the fence said no; the text says why. */
export type FenceOutcome =
  /** `isPending`: it is on its way, and the fence tells by itself how long that took. */
  | { readonly kind: "enforced"; readonly isPending?: true }
  | { readonly kind: "full" }
  | { readonly kind: "failed"; readonly message: string };

/** One place through which packets come. */
export interface FencePlace {
  /** An interface. */
  readonly name: string;
  /** How the fence holds there, in its own words; "none" where it does not. */
  readonly attach: string;
  /** Why it is not the best that the fence can do; undefined when it is. */
  readonly reason: string | undefined;
  /** When it was first seen to hold there; undefined where it did from the start, or does not. */
  readonly sinceMs?: number | undefined;
}

/** Why a fence without a place blocks nothing. */
export const nowhere = "no interface carries the listen address";

export interface FenceCapabilities {
  /** Counts what it drops, for each entry. */
  readonly counts: boolean;
  /** Holds ranges besides single sources. */
  readonly ranges: boolean;
  /** `ask` answers. */
  readonly asks: boolean;
}

/** How full one map is. */
export interface MapFill {
  readonly name: string;
  readonly entries: number;
  readonly capacity: number;
}

/** What the fence does, not what was asked for. */
export interface FenceStatus {
  /** The kind of fence. */
  readonly fence: string;
  readonly capabilities: FenceCapabilities;
  readonly places: readonly FencePlace[];
  /** The place where it holds worst; undefined without one. */
  readonly weakest: FencePlace | undefined;
  /** Guarded TCP ports; "all" where a ban blocks every packet of a source. */
  readonly ports: readonly number[] | "all";
  /** What holds the entries. */
  readonly map: string | undefined;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
  /** In all of its maps. */
  readonly entries: number;
  /** Of the first of its maps. */
  readonly capacity: number;
  /** Each map by itself, that of single sources first: room in one is none in another. */
  readonly maps: readonly MapFill[];
  /** The fence may drop an entry by itself to make room. */
  readonly evicts: boolean;
  /** Whoever else enforces the entries, so that ttgate only manages them. */
  readonly managedBy: string | undefined;
  /** Result of the last proof by synthetic packets; undefined when none ran. */
  readonly proof: { readonly passed: boolean; readonly failure: string | undefined; readonly atMs: number } | undefined;
  /** What keeps it from its promise at the moment, a sentence each. */
  readonly faults: readonly string[];
}

export interface Fence {
  /** Names the map that holds such a prefix: room made in one map is none in another. */
  mapOf(prefix: Prefix): string;
  /** Adds an entry, or changes the expiry of one that is there. */
  put(entry: FenceEntry): FenceOutcome;
  /** Like `put` for many, by batch calls where there are some. One outcome for each entry. */
  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[];
  /** True when the entry was there. */
  drop(prefix: Prefix): boolean;
  dropMany(prefixes: readonly Prefix[]): number;
  /**
   * All entries, in slices so that the caller can let others run in between.
   * @param isWanted those that are not may be left out, so that a walk through a million makes nothing for each.
   */
  records(isWanted?: EntryTest): Generator<readonly FenceRecord[], void, void>;
  record(prefix: Prefix): FenceRecord | undefined;
  status(): FenceStatus;
  /** The fence's own answer for a packet of this address; undefined where none can be asked. */
  ask(address: Prefix): "drop" | "pass" | undefined;
  /** Holds at these places from now on, and at no others. */
  cover(places: readonly string[]): void;
  /** About once a second: sign of life, places that came and went, entries that are over. */
  tick(nowMs: number): void;
  /** Idempotent. With `keep` it goes on blocking without this process. */
  close(keep: boolean): void | Promise<void>;
}
