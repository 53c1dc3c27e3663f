// SPDX-License-Identifier: Apache-2.0
// What 50 clients that work feel of a flood whose sources are all new: from 100,000 IPv4 addresses, the same with a
// slow loris beside it, from 100,000 IPv6 networks; with the kernel's map and without.
import { spawnSync } from "node:child_process";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { ip, Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { prepareClients } from "./inline_path.ts";
import { type FloodResult, Load, type LoadResult, type LoadRoute } from "./load.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const clients = 50;
const sources = 100_000;
const perSecond = 5000;
const floodSeconds = sources / perSecond;
/** The load generator leaves out the first fifth. */
const workSeconds = floodSeconds - 2;
const quietSeconds = 5;
const lorises = 1000;
const gatePort = 5000;
const serverPort = 5001;
const mebibyte = 1024 * 1024;
/** A busy machine opens fewer; below that it was no such flood. */
const ofOriginal = 0.8;

const quiet = "quiet";
const flooded = "flood";

interface Scenario {
  readonly name: string;
  readonly firstSource: string;
  readonly isIpv6: boolean;
  readonly hasLoris: boolean;
}

const scenarios: readonly Scenario[] = [
  { name: "100,000 IPv4 sources", firstSource: "10.80.0.1", isIpv6: false, hasLoris: false },
  { name: "the same and a slow loris", firstSource: "10.84.0.1", isIpv6: false, hasLoris: true },
  { name: "100,000 IPv6 networks", firstSource: "fd80::1", isIpv6: true, hasLoris: false },
];
/** All of the above, and the slow loris' own. */
const attackers = ["10.80.0.0/12", "fd80::/16"];
const lorisSource = "10.90.0.1";

const gates = [
  { name: "-B", hasMap: true, atMost: 3 },
  { name: "without -B", hasMap: false, atMost: 6 },
] as const;

/** Every address of these networks is the client namespace's. */
function ownAttackers(network: Network): void {
  for (const cidr of attackers) {
    const isIpv6 = cidr.includes(":");
    const family = isIpv6 ? ["-6"] : [];
    const via = isIpv6 ? network.clientIpv6(1) : network.clientIpv4(1);
    ip(...family, "-n", network.client, "route", "add", "local", cidr, "dev", "lo");
    ip(...family, "-n", network.gate, "route", "add", cidr, "via", via, "dev", network.device);
  }
}

/** Attackers are on other machines: here they take what is left of this one. */
function onCpu(pid: number, cpu: number, nice = 0): void {
  spawnSync("taskset", ["-apc", `${cpu}`, `${pid}`]);
  spawnSync("renice", ["-n", `${nice}`, "-p", `${pid}`]);
}

interface Site {
  readonly load: Load;
  readonly network: Network;
  readonly gate: RunningGate;
}

function work({ load, network }: Site, seconds: number): Promise<LoadResult> {
  const route = { server: network.gateIpv4, firstClient: network.clientIpv4(1), clients };
  const options = { port: gatePort, connections: clients, seconds, namespace: network.client, route, cpu: 1 };
  return load.measure("work", options);
}

async function flood(site: Site, scenario: Scenario): Promise<LoadResult> {
  const { load, network } = site;
  const { firstSource, isIpv6, hasLoris } = scenario;
  const namespace = network.client;
  const server = isIpv6 ? network.gateIpv6 : network.gateIpv4;
  const route: LoadRoute = { server, firstClient: firstSource, clients: sources };
  await using attack = load.flood({ port: gatePort, perSecond, seconds: floodSeconds, namespace, route });
  const startedMs = performance.now();
  onCpu(attack.pid, 1, 19);
  const lorisRoute = { server: network.gateIpv4, firstClient: lorisSource, clients: sources };
  const loris = hasLoris
    ? load.measure("loris", {
        ...{ port: gatePort, connections: lorises, seconds: workSeconds, namespace, route: lorisRoute, cpu: 1 },
      })
    : undefined;
  const result = await work(site, workSeconds);
  await loris;
  const leftMs = floodSeconds * 1000 - (performance.now() - startedMs);
  const { opened } = JSON.parse((await attack.done(leftMs + 30_000)).stdout) as FloodResult;
  if (opened < sources * ofOriginal) {
    throw new Error(`Cannot use the flood: ${opened} of ${sources} connections in ${floodSeconds} s`);
  }
  return result;
}

class Rows {
  readonly #rows = new Map<string, Row & { readonly samples: Record<string, number[]> }>();

  add(row: Omit<Row, "samples" | "better">, samples: Readonly<Record<string, number>>): void {
    const known = this.#rows.get(row.metric) ?? { ...row, better: "lower", samples: {} };
    this.#rows.set(row.metric, known);
    for (const [subject, sample] of Object.entries(samples))
      known.samples[subject] = [...(known.samples[subject] ?? []), sample];
  }

  all(): Row[] {
    return [...this.#rows.values()];
  }
}

async function measureGate(site: Site, { name, atMost }: (typeof gates)[number], rows: Rows, say: BenchOptions["say"]) {
  const { gate } = site;
  await work(site, 1);
  const calm = await work(site, quietSeconds);
  const before = await gate.residentBytes();
  for (const scenario of scenarios) {
    const result = await flood(site, scenario);
    const about = `${scenario.name}, ${name}`;
    const targets = [{ subject: flooded, reference: quiet, ratio: atMost }];
    rows.add({ metric: `p99: ${about}`, unit: "µs", targets }, { [quiet]: calm.p99Us, [flooded]: result.p99Us });
    rows.add({ metric: `p50: ${about}`, unit: "µs" }, { [quiet]: calm.p50Us, [flooded]: result.p50Us });
    rows.add({ metric: `refused: ${about}`, unit: "friends" }, { [quiet]: calm.failures, [flooded]: result.failures });
    const after = await gate.residentBytes();
    rows.add(
      { metric: `resident: ${about}`, unit: "MiB" },
      { [quiet]: before / mebibyte, [flooded]: after / mebibyte },
    );
    const { bans } = await gate.status();
    say(`floods: ${about}: ${JSON.stringify({ calm, result, bans: bans.active, resident: [before, after] })}`);
  }
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  const rows = new Rows();
  for (let round = 0; round < rounds; round++) {
    for (const subject of gates) {
      using network = new Network({ clients });
      prepareClients(network);
      ownAttackers(network);
      await using server = await load.serve(serverPort, network.gate);
      using map = new BlockMap();
      const args = ["-l", `[::]:${gatePort}`, "-c", "/dev/null", "-i", network.device];
      const options = subject.hasMap ? [...args, "-B", map.name] : args.slice(0, -2);
      await using gate = await RunningGate.start(options, { namespace: network.gate });
      for (const { pid } of [server, gate.child]) onCpu(pid, 0);
      await measureGate({ load, network, gate }, subject, rows, say);
    }
  }
  return {
    name: "floods",
    reference: quiet,
    rows: rows.all(),
    method: [
      `${clients} clients, each a packet of 256 random bytes every 20 ms and a new connection for one in eight; time from when a packet is due to its answer, by the gate in user space from a server behind it`,
      `the flood: ${perSecond.toLocaleString("en-GB")} connections a second, each from a source that was not seen before, with an HTTP request; ${lorises} slow lorises each say one byte and hold on, and begin anew from another source when they are closed`,
      `two namespaces and a veth pair on one machine: gate and server on one CPU, clients and attackers on the other, the attackers at the lowest priority; ${rounds} rounds, a new gate in each`,
    ],
  };
}

export const floodsBench: Bench = { name: "floods", run };
