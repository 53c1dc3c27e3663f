// SPDX-License-Identifier: Apache-2.0
// What the kernel fence is asked to do.

import type { FenceOptions } from "../options.ts";
import type { AttachStep } from "./attach/attachment.ts";
import type { Guarded } from "./guarded.ts";
import type { Inherited } from "./inherited.ts";
import type { InlineOptions } from "./inline/inline_judge.ts";

export interface XdpFenceOptions extends FenceOptions {
  /** Of this ttgate, for the log. */
  readonly version: string;
  /** Names of protocols that entries from before may stand for; those put later are added. */
  readonly reasons?: readonly string[];
  /** Ways to attach, tried in this order; all of them unless given. */
  readonly ladder?: readonly AttachStep[];
  /** What is tried next where none of them works; undefined: nothing, user space blocks alone. */
  readonly below?: string | undefined;
  /** The program judges first bytes itself. */
  readonly inline?: Pick<InlineOptions, "gates"> | undefined;
  /** From the gate that hands its maps and links over; then it is no stranger that uses them. */
  readonly inherited?: Inherited | undefined;
  /** How long a gate before that may be alive is watched for a sign of life. */
  readonly patienceMs?: number;
  /** Called with the name of each step of opening when it is done. */
  readonly onStep?: (name: string) => void;
}

/** The same with what is guarded now in place of what is guarded at the start. */
export interface OpenedOptions extends Omit<XdpFenceOptions, "ports" | "scope" | "inline"> {
  readonly guarded: Guarded;
  readonly judges: boolean;
  /** What is judged from the start. */
  readonly gates: InlineOptions["gates"];
}
