// SPDX-License-Identifier: Apache-2.0
// What the server feels of hostile connections, five thousand a second from 250 sources, with inline mode
// and without: in the first second, in which each source is met for the first time, and afterwards.
import { open, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { BlockMap } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { prepareClients, routeOf, serverPort, startInline } from "./inline_path.ts";
import { type FloodResult, Load } from "./load.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const sources = 250;
const perSecond = 5000;
/** The second one is for what is still under way when the last source is banned. */
const firstMs = 1000;
const fromMs = 2000;
const untilMs = 5000;
/** How often the accept queue is looked at. */
const sampleMs = 20;
const ofOriginal = 0.95;

const withGate = "inline";
const withoutGate = "no gate";

/** Of the server's process and of its network namespace, since they began. */
interface Felt {
  readonly segments: number;
  readonly opened: number;
  readonly overflows: number;
  readonly cpuMs: number;
  readonly gateMs: number | undefined;
  readonly softIrqMs: number;
}

async function feltBy(pid: number, gatePid: number | undefined): Promise<Felt> {
  const snmp = await counters(`/proc/${pid}/net/snmp`, "Tcp");
  const netstat = await counters(`/proc/${pid}/net/netstat`, "TcpExt");
  const stat = await readFile("/proc/stat", "utf8");
  return {
    segments: snmp("InSegs"),
    opened: snmp("PassiveOpens"),
    overflows: netstat("ListenOverflows") + netstat("ListenDrops"),
    cpuMs: await cpuMs(pid),
    gateMs: gatePid === undefined ? undefined : await cpuMs(gatePid),
    // Field 7 of proc_stat(5), in clock ticks, of which Linux shows 100 a second.
    softIrqMs: Number(stat.split("\n", 1)[0]?.split(/\s+/)[7]) * 10,
  };
}

/** Files of two lines for each group: names, values. */
async function counters(path: string, group: string): Promise<(name: string) => number> {
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line.startsWith(`${group}:`));
  const [names = [], values = []] = lines.map((line) => line.split(" "));
  return (name) => Number(values[names.indexOf(name)]);
}

/** On a CPU, to the nanosecond. */
async function cpuMs(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/schedstat`, "utf8")).split(" ")[0]) / 1e6;
}

/** Connections that wait to be accepted: what `ss -l` calls Recv-Q. */
async function acceptQueue(pid: number): Promise<number> {
  await using file = await open(`/proc/${pid}/net/tcp`);
  // Those who listen come first.
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
  const port = serverPort.toString(16).toUpperCase().padStart(4, "0");
  const listening = new RegExp(`:${port} \\S+ 0A [0-9A-F]{8}:([0-9A-F]{8})`);
  return Number.parseInt(listening.exec(buffer.toString("latin1", 0, bytesRead))?.[1] ?? "", 16);
}

interface Flood {
  readonly first: Felt;
  readonly later: Felt;
  readonly longestQueue: { readonly first: number; readonly later: number };
}

async function flood(load: Load, network: Network, serverPid: number, gatePid: number | undefined): Promise<Flood> {
  const before = await feltBy(serverPid, gatePid);
  const route = routeOf(network, sources);
  const seconds = untilMs / 1000 + 0.5;
  await using attackers = load.flood({ port: serverPort, perSecond, seconds, namespace: network.client, route });
  const startedMs = performance.now();
  const queueUntil = async (atMs: number) => {
    let longest = 0;
    for (;;) {
      longest = Math.max(longest, await acceptQueue(serverPid));
      const leftMs = startedMs + atMs - performance.now();
      if (leftMs <= 0) return longest;
      await sleep(Math.min(sampleMs, leftMs));
    }
  };
  const firstQueue = await queueUntil(firstMs);
  const afterFirst = await feltBy(serverPid, gatePid);
  await queueUntil(fromMs);
  const from = await feltBy(serverPid, gatePid);
  const laterQueue = await queueUntil(untilMs);
  const until = await feltBy(serverPid, gatePid);
  const { opened } = JSON.parse((await attackers.done()).stdout) as FloodResult;
  if (opened < perSecond * seconds * ofOriginal) {
    throw new Error(`Cannot use the flood: ${opened} connections in ${seconds} s are fewer than ${perSecond} a second`);
  }
  return {
    first: difference(before, afterFirst, firstMs),
    later: difference(from, until, untilMs - fromMs),
    longestQueue: { first: firstQueue, later: laterQueue },
  };
}

/** A second. */
function difference(from: Felt, until: Felt, ms: number): Felt {
  const each = (key: keyof Felt) => (((until[key] ?? 0) - (from[key] ?? 0)) * 1000) / ms;
  return {
    segments: each("segments"),
    opened: each("opened"),
    overflows: each("overflows"),
    cpuMs: each("cpuMs"),
    gateMs: from.gateMs === undefined ? undefined : each("gateMs"),
    softIrqMs: each("softIrqMs"),
  };
}

const none = [{ subject: withGate, reference: withoutGate, ratio: 0 }];

interface Quantity {
  readonly metric: string;
  readonly unit: string;
  readonly of: (flood: Flood) => number | undefined;
  readonly targets?: Row["targets"];
}

const quantities: readonly Quantity[] = [
  { metric: "first second: connections opened by the server's kernel", unit: "1/s", of: ({ first }) => first.opened },
  { metric: "first second: longest accept queue", unit: "connections", of: ({ longestQueue }) => longestQueue.first },
  { metric: "first second: CPU of the server", unit: "ms/s", of: ({ first }) => first.cpuMs },
  {
    ...{ metric: "later: segments that the server's TCP gets", unit: "1/s", targets: none },
    of: ({ later }) => later.segments,
  },
  {
    ...{ metric: "later: connections opened by the server's kernel", unit: "1/s", targets: none },
    of: ({ later }) => later.opened,
  },
  { metric: "later: longest accept queue", unit: "connections", of: ({ longestQueue }) => longestQueue.later },
  {
    metric: "later: connections that found the accept queue full",
    ...{ unit: "1/s", of: ({ later }) => later.overflows },
  },
  { metric: "later: CPU of the server", unit: "ms/s", of: ({ later }) => later.cpuMs, targets: none },
  { metric: "later: CPU of ttgate", unit: "ms/s", of: ({ later }) => later.gateMs },
  { metric: "later: soft interrupts, the whole host", unit: "ms/s", of: ({ later }) => later.softIrqMs },
];

async function runFlood({ rounds, say }: BenchOptions): Promise<Report> {
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  const rows = quantities.map(({ metric, unit, targets }) => {
    const samples: Record<string, number[]> = { [withGate]: [], [withoutGate]: [] };
    return { metric, unit, better: "lower", samples, ...(targets === undefined ? {} : { targets }) } satisfies Row;
  });
  const add = (subject: string, result: Flood) => {
    for (const [index, { of }] of quantities.entries()) {
      const figure = of(result);
      if (figure !== undefined) rows[index]?.samples[subject]?.push(figure);
    }
    say(`inline_flood: ${subject}: ${JSON.stringify(result)}`);
  };
  for (let round = 0; round < rounds; round++) {
    using network = new Network({ clients: sources });
    prepareClients(network);
    await using server = await load.serve(serverPort, network.gate, "0.0.0.0");
    add(withoutGate, await flood(load, network, server.pid, undefined));
    using map = new BlockMap();
    await using gate = await startInline(map, network);
    add(withGate, await flood(load, network, server.pid, gate.child.pid));
    const { bans } = await gate.status();
    if (bans.active !== sources) throw new Error(`Cannot use the flood: ${bans.active} of ${sources} sources banned`);
  }
  return {
    name: "inline_flood",
    reference: withoutGate,
    rows,
    method: [
      `${perSecond.toLocaleString("en-GB")} connections a second from ${sources} addresses in one namespace to the server in another over a veth pair, each with an HTTP request once it is established, given up after 300 ms; ${rounds} rounds, without ttgate first, then with inline mode on native XDP; nobody was banned before`,
      `later: from ${fromMs / 1000} s to ${untilMs / 1000} s after the beginning, when every source has been met; what is counted is the server's network namespace and its process to the nanosecond, the accept queue every ${sampleMs} ms`,
      "the server echoes what it reads; without ttgate each connection is accepted, read and answered",
    ],
  };
}

export const inlineFloodBench: Bench = { name: "inline_flood", run: runFlood };
