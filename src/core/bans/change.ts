// SPDX-License-Identifier: Apache-2.0
// What is asked of the enforcement, and what it tells: requests and their results, and each change of the table.
import type { Prefix } from "../address.ts";
import type { Ban, Claim, Evidence, Origin } from "./claim.ts";
import type { FenceOutcome } from "./fence.ts";
import type { NeverBanEntry } from "./never_ban.ts";

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

/** Prefixes with their claims, from a file or another process. */
export interface SavedBan {
  readonly prefix: Prefix;
  readonly claims: readonly Claim[];
}

/** Prefixes that lost claims: those that are free, and those that others' claims keep banned. */
export interface Lifted {
  readonly ended: readonly Prefix[];
  readonly staying: readonly Prefix[];
}
