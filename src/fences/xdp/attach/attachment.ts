// SPDX-License-Identifier: Apache-2.0
// One way in which our program hangs on an interface, whichever it is.

import type { FencePlace } from "../../../core/bans/fence.ts";

/** How a program holds on an interface; "none" where it does not. */
export type AttachMode = "native" | "generic" | "tc" | "none";

/** From the strongest to the weakest. */
const modes: readonly AttachMode[] = ["native", "generic", "tc", "none"];

/** The reason of a place whose interface is waited for. */
export const interfaceMissing = "the interface is not there";

export interface GuardedPlace extends FencePlace {
  readonly attach: AttachMode;
}

/** Where a program holds worst; undefined without an interface. */
export function weakest(places: readonly GuardedPlace[]): GuardedPlace | undefined {
  return [...places].sort((a, b) => modes.indexOf(b.attach) - modes.indexOf(a.attach))[0];
}

/** From the best to the last resort. `clsact` is tc as it was before 6.6, without a link. */
export type AttachStep = "native" | "generic" | "tcx" | "clsact";

export const attachLadder: readonly AttachStep[] = ["native", "generic", "tcx", "clsact"];

export interface Attachment {
  readonly mode: "native" | "generic" | "tc";
  /** Undefined where nothing is pinned. */
  readonly pin: string | undefined;
  /** The program that is in place now, which another process may have changed; undefined: taken off. */
  programId(): number | undefined;
  /** False when it is gone from the interface that has this index now. */
  holds(ifindex: number): boolean;
  /** False where another program sees the packets before ours, and may decide them. */
  isFirst(): boolean;
  /** Puts a program in the place of whatever is there. @throws KernelError */
  update(programFd: number): void;
  /** Puts a pin back that was removed. @throws Failure when it cannot, or another tool has one there. */
  repin(): void;
  /** False where this user could not make the pin again, so that another attachment would end with this process. */
  canPin(): boolean;
  /** Makes room for the pin of another attachment; this one goes on until `release`. */
  dropPin(): void;
  /** Idempotent. With `keep` the kernel goes on without this process, where it can. */
  release(keep: boolean): void;
}
