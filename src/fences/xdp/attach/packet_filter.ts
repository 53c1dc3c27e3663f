// SPDX-License-Identifier: Apache-2.0
// Who drops the packets of banned sources: ttgate's own program, or one of somebody else's that was
// there before and reads the same map. The fence asks both the same questions.
import type { Prefix } from "../../../core/address.ts";
import type { FenceStatus } from "../../../core/bans/fence.ts";
import type { OutcomeCount } from "../maps/layout.ts";
import type { GuardedPlace } from "./attachment.ts";

/** What becomes of a packet from a source to the guarded port. */
export type KernelAnswer = "drop" | "pass";

export interface PacketFilter extends Disposable {
  places(): readonly GuardedPlace[];
  dropped(): OutcomeCount;
  managedBy(): string | undefined;
  proof(): FenceStatus["proof"];
  /** The live program's own answer; undefined where there is none to ask. */
  ask(source: Prefix): KernelAnswer | undefined;
  /** Paths of everything that ttgate has pinned. */
  pins(): readonly string[];
  prove(nowMs: number): void;
  /** What keeps it from blocking as promised, a sentence each. */
  faults(): readonly string[];
  /** What is guarded has changed. @throws KernelError */
  guard(): void;
  /** Interfaces to hold at from now on, and no others. */
  cover(interfaces: readonly string[]): void;
  tick(nowMs: number): void;
  /**
   * Stops dropping, unless it is to go on without this process.
   * @returns true when the entries are to stay: with `keep`, or because another process has taken over.
   */
  detach(keep: boolean, nowMs: number): boolean;
  /** A process that was to take over did not: everything as this one had it. @throws KernelError */
  reclaim(nowMs: number): void;
  /** Pins of ttgate's own maps that no entry can be written to any more. */
  lostPins(): readonly string[];
  unpin(paths: readonly string[]): void;
  /** Another one has taken links and maps over: closes the descriptors, and touches nothing else. */
  abandon(): void;
  /** Closes the descriptors of maps and programs. */
  [Symbol.dispose](): void;
}
