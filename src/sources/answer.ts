// SPDX-License-Identifier: Apache-2.0
// What a person may ask of the table of bans, and what comes back.
import type { Prefix } from "../core/address.ts";
import type { Asking } from "../core/bans/claim.ts";

/** `invalid`: what was asked makes no sense. `refused`: it does, and it was not done. `absent`: nothing to undo. */
export interface Refusal {
  readonly kind: "invalid" | "refused" | "absent";
  /** For the person who asked: what, why, what to do. */
  readonly message: string;
}

export type ChangeResult<T> = { readonly kind: "done"; readonly value: T } | Refusal;

export interface BanOptions {
  /** Undefined: the gate's time-out. */
  readonly forMs: number | undefined;
  /** Also what is wider than an operator is allowed without it. */
  readonly force: boolean;
  readonly by: Asking;
}

export interface Lifted {
  readonly lifted: readonly Prefix[];
  /** The claim ended; somebody else's keeps the source banned. */
  readonly staying: readonly Prefix[];
  /** Another tool's entries that stay in the map, where all were to be lifted. */
  readonly foreign: number;
}

/** One line of a list of bans or lifts. */
export interface ChangeLine {
  /** From 1, for the report. */
  readonly number: number;
  /** ADDR or CIDR. */
  readonly text: string;
  /** Undefined: the gate's time-out. */
  readonly forMs: number | undefined;
}

export interface LineFailure {
  readonly line: number;
  readonly message: string;
}

export interface ListResult {
  readonly done: number;
  readonly failed: number;
  /** The first of them. */
  readonly failures: readonly LineFailure[];
  /** The numbers of all of them. */
  readonly failedLines: readonly number[];
}
