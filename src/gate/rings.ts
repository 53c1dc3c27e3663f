// SPDX-License-Identifier: Apache-2.0
// Gates that are each other's upstream, or one whose upstream a rule of the packet filter turns back to it: one client
// would be relayed round and round until all places are taken. No address tells of it, but a connection from here
// that arrives at a gate of this process has the same two ends there.
import type { Endpoint } from "../runtime/types.ts";

/** A gate of this process, as far as rings are concerned. */
export interface RingGate {
  readonly name: string;
  /** One of its clients has this end. */
  hasClient(end: Endpoint): boolean;
  /** Names of the gates at which connections to its upstreams arrive. */
  leadsTo(): readonly string[];
}

/** @returns the gate at which a connection from here has arrived; undefined: it has left the process. */
export function arrivedAt(gates: readonly RingGate[], local: Endpoint): string | undefined {
  return gates.find((gate) => gate.hasClient(local))?.name;
}

/** Where connections to the upstreams of a gate arrive, by its name. */
export function leadsToOf(gates: readonly RingGate[]): (name: string) => readonly string[] {
  return (name) => gates.find((gate) => gate.name === name)?.leadsTo() ?? [];
}
