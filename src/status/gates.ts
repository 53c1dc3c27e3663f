// SPDX-License-Identifier: Apache-2.0
// The gates and fences of a snapshot as lists, for those who show them.
import type { KernelSnapshot, Snapshot } from "./snapshot.ts";

export type GateView = Pick<Snapshot, "listen" | "mode" | "profile" | "upstreams" | "connections">;

export function gatesOf({ listen, mode, profile, upstreams, connections }: Snapshot): readonly GateView[] {
  return [{ listen, mode, profile, upstreams, connections }];
}

/** Empty without a kernel block. */
export function fencesOf({ kernel }: Snapshot): readonly KernelSnapshot[] {
  return kernel.map === null ? [] : [kernel];
}
