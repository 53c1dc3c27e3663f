// SPDX-License-Identifier: Apache-2.0
// What the kernel program guards: the ports, each with the place that it keeps as long as it is guarded, and
// how much a ban blocks. Changes while the program runs.
import { Failure } from "../../failure.ts";
import { maxPorts } from "./maps/layout.ts";

/** In the place of a port that is guarded no more. No packet is sent to it. */
const nobody = 0;

export class Guarded {
  readonly #slots: number[] = [];
  scope: "port" | "host";

  /**
   * @param before the places as a program has them that goes on until this one takes over: ports that stay keep theirs.
   * @throws Failure when there are more ports than places.
   */
  constructor(ports: readonly number[], scope: "port" | "host", before: readonly number[] = []) {
    this.scope = scope;
    if (ports.length > maxPorts) {
      throw new Failure(`The kernel guards ${maxPorts} ports, got ${ports.length}: use fewer`);
    }
    this.#slots.push(...before);
    this.keep(ports);
    for (const port of ports) this.slotOf(port);
  }

  get ports(): readonly number[] {
    return this.#slots.filter((port) => port !== nobody);
  }

  /** As they stand in the program's settings. */
  get slots(): readonly number[] {
    return this.#slots;
  }

  /** The place of a port, which takes a free one if it has none. @throws Failure when there is none. */
  slotOf(port: number): number {
    const own = this.#slots.indexOf(port);
    if (own >= 0) return own;
    const free = this.#slots.indexOf(nobody);
    const slot = free >= 0 ? free : this.#slots.length;
    if (slot >= maxPorts) throw new Failure(`The kernel guards ${maxPorts} ports at most: no place for port ${port}`);
    this.#slots[slot] = port;
    return slot;
  }

  /** The places of all other ports are free from now on. */
  keep(ports: readonly number[]): void {
    for (const [slot, port] of this.#slots.entries()) if (!ports.includes(port)) this.#slots[slot] = nobody;
  }
}
