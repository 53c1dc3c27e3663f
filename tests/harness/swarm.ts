// SPDX-License-Identifier: Apache-2.0
// The many sources of swarm_main.ts as one process in a network namespace.
import { join } from "node:path";
import process from "node:process";
import { run } from "./child.ts";
import { ip, type Network } from "./netns.ts";
import type { ProbeResult } from "./probe.ts";

const script = join(import.meta.dirname, "swarm_main.ts");

/** Lets the client namespace be every address of a network, without an entry for each. */
export function ownNetwork(network: Network, cidr: string): void {
  ip("-n", network.client, "route", "add", "local", cidr, "dev", "lo");
  ip("-n", network.gate, "route", "add", cidr, "via", network.clientIpv4(1), "dev", network.device);
}

export interface SwarmOptions {
  readonly base: string;
  readonly count: number;
  /** Distance between two addresses. */
  readonly step?: number;
  readonly send?: Uint8Array;
  readonly waitMs?: number;
}

/** @returns how many connections ended in which way. */
export async function swarm(
  network: Network,
  options: SwarmOptions,
): Promise<Partial<Record<ProbeResult["outcome"], number>>> {
  const flags = [
    ...["--base", options.base, "--count", String(options.count), "--step", String(options.step ?? 1)],
    ...(options.send === undefined ? [] : ["--hex", Buffer.from(options.send).toString("hex")]),
    ...["--wait-ms", String(options.waitMs ?? 5000)],
  ];
  const argv = [process.execPath, script, network.gateIpv4, "5000", ...flags];
  const result = await run(argv, { namespace: network.client, timeoutMs: 120_000 });
  if (result.code !== 0) throw new Error(`Cannot send a swarm: ${result.stderr}`);
  return JSON.parse(result.stdout) as Partial<Record<ProbeResult["outcome"], number>>;
}
