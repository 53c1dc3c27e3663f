// SPDX-License-Identifier: Apache-2.0
// The gates and fences of a snapshot as lists, for those who show them.
import type { KernelSnapshot, Snapshot } from "./snapshot.ts";

export type GateView = Pick<
  Snapshot,
  "listen" | "mode" | "profile" | "balance" | "upstreams" | "proxyProtocol" | "connections"
>;

export function gatesOf(snapshot: Snapshot): readonly GateView[] {
  const { listen, mode, profile, balance, upstreams, proxyProtocol, connections } = snapshot;
  return [{ listen, mode, profile, balance, upstreams, proxyProtocol, connections }];
}

/** Empty without a kernel block. */
export function fencesOf({ kernel }: Snapshot): readonly KernelSnapshot[] {
  return kernel.map === null ? [] : [kernel];
}
