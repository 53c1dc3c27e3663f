// SPDX-License-Identifier: Apache-2.0
// Gates that are each other's upstream, or one whose upstream a rule of the packet filter turns back to it: one client
// would be relayed round and round until all places are taken. No address tells of it before, but a connection from here
// that arrives at a gate of this process has the same two ends there, but for what NAT has changed.
import { Client } from "../core/client.ts";
import type { Endpoint, TcpSocket } from "../runtime/types.ts";

/** The ends of a connection that this process opened, as they are on the side that opened it. */
export type Ends = Pick<TcpSocket, "local" | "remote">;

/** A gate of this process, as far as rings are concerned. */
export interface RingGate {
  readonly name: string;
  /** It has accepted this connection. */
  hasAccepted(ends: Ends): boolean;
  /** Names of the gates at which connections to its upstreams arrive. */
  leadsTo(): readonly string[];
}

/** @returns the gate at which a connection from here has arrived; undefined: it has left the process. */
export function arrivedAt(gates: readonly RingGate[], ends: Ends): string | undefined {
  return gates.find((gate) => gate.hasAccepted(ends))?.name;
}

/**
 * Whether an accepted connection is the one that was opened. Its client's end is not enough: the kernel gives a port
 * of this host to several connections at a time, as long as they lead elsewhere. So it must also lead where the other
 * one does, here or before a rule of the packet filter turned it.
 * @param originally where it led before that.
 */
export function isSame(opened: Ends, accepted: Ends, originally: () => Endpoint | undefined): boolean {
  if (!isAt(accepted.remote, opened.local)) return false;
  if (isAt(accepted.local, opened.remote)) return true;
  const before = originally();
  return before !== undefined && isAt(before, opened.remote);
}

/** Dual-stack sockets write IPv4 addresses in another way. */
function isAt(one: Endpoint, other: Endpoint): boolean {
  return one.port === other.port && addressOf(one) === addressOf(other);
}

function addressOf({ address, port }: Endpoint): string {
  return new Client(address, port, 128).single().text;
}

/** Where connections to the upstreams of a gate arrive, by its name. */
export function leadsToOf(gates: readonly RingGate[]): (name: string) => readonly string[] {
  return (name) => gates.find((gate) => gate.name === name)?.leadsTo() ?? [];
}
