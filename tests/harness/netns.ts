// SPDX-License-Identifier: Apache-2.0
// Throwaway networks: two namespaces, one where the gate lives and one with many client addresses,
// joined by a veth pair. Nothing of the host's own network is touched, and all of it goes away with
// the scope, also after a failure or an interrupt.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import process from "node:process";
import { Undo } from "./undo.ts";

/** Why namespaces cannot be made here, or undefined when they can: for skipping with a reason. */
export function noNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  return spawnSync("ip", ["-V"]).status === 0 ? undefined : "network namespaces need ip (package iproute2)";
}

/** Runs `ip` and expects it to work. @throws Error with what it said. */
export function ip(...args: readonly string[]): string {
  const result = spawnSync("ip", args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`Cannot run "ip ${args.join(" ")}": ${result.stderr || result.error}`);
  return result.stdout;
}

export interface NetworkOptions {
  /** How many client addresses of each family; each IPv6 one is in a /64 of its own. */
  readonly clients?: number;
}

/** Client `n` is 10.77.1.n and fd77:0:n::2, n from 1; the gate is 10.77.0.1 and fd77::1. */
export class Network implements Disposable {
  /** Namespace names. */
  readonly gate: string;
  readonly client: string;
  /** The gate's end of the veth pair. */
  readonly device: string;
  readonly clientDevice: string;
  readonly gateIpv4 = "10.77.0.1";
  readonly gateIpv6 = "fd77::1";
  readonly #undo = new Undo();
  readonly #clients: number;
  #joined = false;

  constructor({ clients = 8 }: NetworkOptions = {}) {
    if (clients > 250) throw new RangeError(`Too many client addresses: "${clients}": at most 250`);
    const id = randomBytes(3).toString("hex");
    this.gate = `ttg-${id}-gate`;
    this.client = `ttg-${id}-client`;
    this.device = `ttg${id}g`;
    this.clientDevice = `ttg${id}c`;
    this.#clients = clients;
    try {
      this.#make();
    } catch (error) {
      this.#undo[Symbol.dispose]();
      throw error;
    }
  }

  clientIpv4(number: number): string {
    return `10.77.1.${number}`;
  }

  clientIpv6(number: number): string {
    return `fd77:0:${number.toString(16)}::2`;
  }

  #make(): void {
    for (const name of [this.gate, this.client]) {
      ip("netns", "add", name);
      this.#undo.push(() => ip("netns", "del", name));
      inside(name, ["link set lo up"]);
    }
    // With the namespaces the pair would go too, but only once their last process is reaped.
    this.#undo.push(() => {
      if (this.#joined) this.cut();
    });
    this.join();
  }

  /** Makes the pair and its addresses; the constructor did it once. */
  join(): void {
    const peer = ["type", "veth", "peer", "name", this.clientDevice, "netns", this.client];
    ip("link", "add", this.device, "netns", this.gate, ...peer);
    this.#joined = true;
    inside(this.gate, [
      `address add ${this.gateIpv4}/16 dev ${this.device}`,
      `address add ${this.gateIpv6}/32 dev ${this.device} nodad`,
      `link set ${this.device} up`,
    ]);
    const numbers = Array.from({ length: this.#clients }, (_, index) => index + 1);
    inside(this.client, [
      ...numbers.map((number) => `address add ${this.clientIpv4(number)}/16 dev ${this.clientDevice}`),
      ...numbers.map((number) => `address add ${this.clientIpv6(number)}/32 dev ${this.clientDevice} nodad`),
      `link set ${this.clientDevice} up`,
    ]);
  }

  /** Takes the interfaces away, as a cable or a hypervisor does. */
  cut(): void {
    ip("-n", this.gate, "link", "del", this.device);
    this.#joined = false;
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}

function inside(namespace: string, lines: readonly string[]): void {
  const result = spawnSync("ip", ["-n", namespace, "-batch", "-"], {
    input: `${lines.join("\n")}\n`,
    encoding: "utf8",
  });
  if (result.status !== 0)
    throw new Error(`Cannot set up the namespace "${namespace}": ${result.stderr || result.error}`);
}
