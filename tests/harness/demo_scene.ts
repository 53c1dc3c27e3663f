// SPDX-License-Identifier: Apache-2.0
// What the demo shows: a gate with the kernel block between good clients and their server, and attackers
// at other addresses of the same network, each of whom comes back once a second.
import { spawnSync } from "node:child_process";
import { run } from "./child.ts";
import { BlockMap, RunningGate } from "./gate.ts";
import { ip, Network } from "./netns.ts";
import { type StandInClient, type StandInServer, startClient, startServer } from "./standin.ts";
import { strangers } from "./strangers.ts";
import { sleep } from "./wait.ts";

export interface Attacker {
  readonly name: string;
  readonly address: string;
  visits: number;
}

export interface Scene extends AsyncDisposable {
  readonly gate: RunningGate;
  readonly server: StandInServer;
  readonly friends: readonly StandInClient[];
  readonly attackers: readonly Attacker[];
  /** Starts the attacks, one after the other, until `stop` says so. */
  attack(stop: AbortSignal): Promise<void>;
}

interface Attack {
  readonly attacker: Attacker;
  readonly argv: readonly string[];
  readonly input?: string;
}

/** nmap's first probe says nothing for six seconds and then sends blank lines. */
function scannerArgv(gate: string): string[] | undefined {
  const installed = spawnSync("nmap", ["--version"]).status === 0;
  return installed ? ["nmap", "-n", "-Pn", "-sV", "--version-intensity", "2", "-p", "5000", gate] : undefined;
}

export async function openScene(): Promise<Scene> {
  const stack = new AsyncDisposableStack();
  try {
    const network = stack.use(new Network({ clients: 32 }));
    const map = stack.use(new BlockMap());
    const server = stack.use(await startServer(network.gate, "--port", "5001"));
    const options = ["-B", map.name, "-i", network.device];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const friends: StandInClient[] = [];
    for (const [host, from] of [
      [network.gateIpv4, network.clientIpv4(1)],
      [network.gateIpv4, network.clientIpv4(2)],
      [network.gateIpv6, network.clientIpv6(3)],
    ] as const) {
      const where = ["--host", host, "--port", "5000", "--from", from];
      friends.push(stack.use(await startClient(network.client, ...where, "--rate", "50", "--reconnect", "10")));
    }
    const attacks = attacksOn(network);
    return {
      gate,
      server,
      friends,
      attackers: attacks.map(({ attacker }) => attacker),
      attack: async (stop) => {
        await Promise.all(attacks.map((attack, index) => keepComing(attack, index, network.client, stop)));
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function attacksOn(network: Network): Attack[] {
  const attacks = strangers.flatMap(({ name, argv, input }, index) => {
    const v4 = network.clientIpv4(10 + index);
    const v6 = network.clientIpv6(20 + index);
    const said = input === undefined ? {} : { input };
    return [
      { attacker: { name, address: v4, visits: 0 }, argv: argv(network.gateIpv4, v4), ...said },
      { attacker: { name: `${name}, IPv6`, address: v6, visits: 0 }, argv: argv(network.gateIpv6, v6), ...said },
    ];
  });
  const scanner = scannerArgv(network.gateIpv4);
  if (scanner === undefined) return attacks;
  // nmap's connections cannot be bound to an address: who does not bind has this one.
  const address = network.clientIpv4(32);
  ip("-n", network.client, "route", "replace", "10.77.0.0/16", "dev", network.clientDevice, "src", address);
  return [{ attacker: { name: "nmap -sV", address, visits: 0 }, argv: scanner }, ...attacks];
}

/** A second between visits, and between the first visits of two attackers. */
async function keepComing(
  { attacker, argv, input }: Attack,
  index: number,
  namespace: string,
  stop: AbortSignal,
): Promise<void> {
  await sleep(1000 + index * 800);
  while (!stop.aborted) {
    attacker.visits++;
    await run(argv, { namespace, ...(input === undefined ? {} : { input }) });
    await sleep(1000);
  }
}
