// SPDX-License-Identifier: Apache-2.0
// What is said of CrowdSec in the status, the metrics and by `ttgate status`. Names are a contract.
import type { NotTaken } from "../../core/crowdsec/decision.ts";

export interface CrowdsecView {
  readonly url: string;
  /** `following`: its decisions are carried out. `apart`: it does not answer, and every ban stays as it is. */
  readonly state: "joining" | "following" | "apart";
  /** What keeps it from its promise, a sentence each; empty when nothing does. */
  readonly troubles: readonly string[];
  readonly everySeconds: number;
  /** Sources that CrowdSec has banned. */
  readonly decisions: number;
  /** Bans taken from it, and ended by it, since the start. */
  readonly taken: number;
  readonly lifted: number;
  /** Decisions that are not carried out, by why. */
  readonly refused: Readonly<Record<NotTaken | "neverBan" | "room", number>>;
  /** How long ago it last answered; null: never. */
  readonly answeredSecondsAgo: number | null;
  /** Null without --crowdsec-push. */
  readonly push: CrowdsecPushView | null;
}

export interface CrowdsecPushView {
  /** The machine's login. */
  readonly machine: string;
  /** Of the decisions that it pushes. */
  readonly origin: string;
  readonly pushed: number;
  /** Pushed decisions that were deleted, because the ban was lifted here. */
  readonly deleted: number;
  readonly waiting: number;
}
