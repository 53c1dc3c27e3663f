// SPDX-License-Identifier: Apache-2.0
// The gates and fences of a snapshot as lists, for those who show them.
import type { KernelSnapshot, Snapshot } from "./snapshot.ts";

export type GateView = Snapshot["gates"][number];

export function gatesOf({ gates }: Snapshot): readonly GateView[] {
  return gates;
}

/** Empty without a kernel block. */
export function fencesOf({ kernel }: Snapshot): readonly KernelSnapshot[] {
  return kernel.map === null ? [] : [kernel];
}
