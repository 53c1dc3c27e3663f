// SPDX-License-Identifier: Apache-2.0
// A rule of this host's packet filter that changes connections, and what it is held against: a guarded port.
import { isLoopback } from "../../core/address.ts";

/** A rule, as the tool that lists it writes it, with where it stands. */
export interface RedirectRule {
  readonly text: string;
}

/** Of a rule that leads connections elsewhere. */
export interface Diversion extends RedirectRule {
  /** It does so with every connection to the port that comes from outside, as far as can be told. */
  readonly isWhole: boolean;
}

export type Family = "ip" | "ip6";

/** A guarded port, and what else is here. */
export interface Guarded {
  readonly port: number;
  /** All that are guarded here: what is led from one to another is no diversion. */
  readonly ports: readonly number[];
  /** Of the addresses that the gate listens at. */
  readonly families: readonly Family[];
  /** Whether an address is this host's. */
  isOwn(address: string): boolean;
  /** Whether connections to an address are for the gate of this port. */
  isListenedTo(address: string): boolean;
  /** Whether a rule for these interfaces is one for whoever comes from outside. */
  comesBy(isMatched: (interfaceName: string) => boolean): boolean;
}

/** From outside: nobody there can connect to loopback. */
export function isForGate(destination: string, { isListenedTo }: Guarded): boolean {
  return !isLoopback(destination) && isListenedTo(destination);
}

/** @param wildcard with which a pattern may end, for all that begin like it. */
export function isOf(name: string, pattern: string, wildcard: string): boolean {
  return pattern.endsWith(wildcard) ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** A rule that leads from one chain to another. */
export interface Jump {
  readonly from: string;
  readonly to: string;
}

/** Those chains, and all that they lead to. */
function chainsFrom(first: Iterable<string>, jumps: readonly Jump[]): ReadonlySet<string> {
  const next = Map.groupBy(jumps, ({ from }) => from);
  const found = new Set(first);
  // What is added meanwhile comes too.
  for (const chain of found) for (const { to } of next.get(chain) ?? []) found.add(to);
  return found;
}

/** The ways to the chains of a packet filter, for what comes from outside. */
export class Ways<J extends Jump> {
  readonly #first: ReadonlySet<string>;
  readonly #entered: ReadonlySet<string>;
  readonly #into: ReadonlyMap<string, readonly J[]>;

  /** @param first the chains at the hooks that it passes. */
  constructor(first: ReadonlySet<string>, jumps: readonly J[]) {
    this.#first = first;
    this.#entered = chainsFrom(first, jumps);
    this.#into = Map.groupBy(jumps, ({ to }) => to);
  }

  /** Some of it goes through the chain, or may. */
  leadTo(chain: string): boolean {
    return this.#entered.has(chain);
  }

  /** All of it does, by jumps that everybody takes. */
  leadEverybodyTo(chain: string, isForEverybody: (jump: J) => boolean): boolean {
    const found = new Set([chain]);
    for (const at of found) {
      if (this.#first.has(at)) return true;
      for (const jump of this.#into.get(at) ?? []) if (isForEverybody(jump)) found.add(jump.from);
    }
    return false;
  }
}
