// SPDX-License-Identifier: Apache-2.0
// The port between the time-out table and whatever blocks sources outside of this process (XDP). The
// table decides; a fence carries out and says honestly what it did. Times are in milliseconds since
// boot (CLOCK_BOOTTIME); Infinity is "without an end".
import type { Prefix } from "../address.ts";

export interface FenceEntry {
  readonly prefix: Prefix;
  readonly expiresMs: number;
  /** Protocol name, or "manual". */
  readonly reason: string;
}

/** An entry as it stands in the kernel, whoever wrote it. */
export interface FenceRecord extends FenceEntry {
  readonly packets: number;
  readonly bytes: number;
  /** Undefined where the map does not keep it, or nothing was dropped yet. */
  readonly lastSeenMs: number | undefined;
  /** Written by hand in a way that ttgate must leave alone (value 0 or 1 in a map with 4-byte keys). */
  readonly foreign: boolean;
}

/** `full`: the table has to make room first. `failed`: the kernel said no; the text says why. */
export type FenceOutcome =
  | { readonly kind: "enforced" }
  | { readonly kind: "full" }
  | { readonly kind: "failed"; readonly message: string };

export interface FenceInterface {
  readonly name: string;
  readonly attach: AttachMode;
  /** Why it is not native; undefined when it is. */
  readonly reason: string | undefined;
}

export type AttachMode = "native" | "generic" | "tc" | "none";

/** What the kernel does, not what was asked for. */
export interface FenceStatus {
  /** The weakest of the interfaces. */
  readonly attach: AttachMode;
  readonly reason: string | undefined;
  readonly interfaces: readonly FenceInterface[];
  readonly map: string | undefined;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
  readonly entries: number;
  readonly capacity: number;
  /** An LRU map: the kernel may drop an entry by itself to make room. */
  readonly evicts: boolean;
  /** Whoever else's program reads the map, so that ttgate only manages entries. */
  readonly managedBy: string | undefined;
  /** Result of the last proof by synthetic packets; undefined when none ran. */
  readonly proof: { readonly passed: boolean; readonly failure: string | undefined; readonly atMs: number } | undefined;
}

export interface Fence {
  /** Names the map that holds such a prefix: room made in one map is none in another. */
  mapOf(prefix: Prefix): string;
  /** Adds an entry, or changes the expiry of one that is there. */
  put(entry: FenceEntry): FenceOutcome;
  /** Like `put` for many, by batch calls where the kernel has them. One outcome for each entry. */
  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[];
  /** True when the entry was there. */
  drop(prefix: Prefix): boolean;
  dropMany(prefixes: readonly Prefix[]): number;
  /** All entries, in slices so that the caller can let others run in between. */
  records(): Generator<readonly FenceRecord[], void, void>;
  record(prefix: Prefix): FenceRecord | undefined;
  status(): FenceStatus;
  /** The live program's own answer for a packet of this address; undefined where none can be asked. */
  ask(address: Prefix): "drop" | "pass" | undefined;
  /** Once a second: heartbeat, interfaces that came and went, counters. */
  tick(nowMs: number): void;
  /** Idempotent. With `keep`, program, link and entries stay in the kernel. */
  close(keep: boolean): void;
}
