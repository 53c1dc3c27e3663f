// SPDX-License-Identifier: Apache-2.0
// The time-out table and its kernel map at work: the time from verdict to map entry under a flood of new sources, and
// what the relay feels when many bans end together. What grows with their number: growth.ts.
import process from "node:process";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Load } from "./load.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const together = 100_000;
const listenPort = 5000;

/** A limit of its own stands in the table as another subject, so that it reads like a comparison. */
function limited(metric: string, unit: string, limit: number): Row {
  const targets = [{ subject: "ttgate", reference: "limit", ratio: 1 }];
  return { metric, unit, better: "lower", samples: { ttgate: [], limit: [limit] }, targets };
}

function figure(metric: string, unit: string): Row {
  return { metric, unit, better: "lower", samples: { ttgate: [] } };
}

function add(row: Row, sample: number): void {
  (row.samples["ttgate"] as number[]).push(sample);
}

const rows = {
  latency: limited("verdict to map entry, p99 at most", "ms", 1),
  rate: { ...figure("new bans meanwhile", "1/s"), better: "higher" as const },
  calm: figure("longest wait of a relayed packet, nothing else going on", "ms"),
  pause: limited(`longer by, while ${together} bans end together`, "ms", 5),
};

/** In the namespace's loopback, every source of it banned like any other. */
const loopbackGate = ["-l", `127.0.0.1:${listenPort}`, "-i", "lo", "--never-ban", "none"];

async function underFlood(network: Network, load: Load): Promise<void> {
  using map = new BlockMap();
  await using gate = await RunningGate.start(["-B", map.name, ...loopbackGate], { namespace: network.gate });
  const namespace = network.gate;
  await load.measure("hostile", { port: listenPort, connections: 8, seconds: 3, firstSource: 100_000, namespace });
  const text = await (await gate.fetch("/metrics")).text();
  const buckets = [...text.matchAll(/^ttgate_ban_latency_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)];
  const count = Number(buckets.at(-1)?.[2]);
  const bound = buckets.find(([, , within]) => Number(within) >= count * 0.99)?.[1];
  add(rows.latency, Number(bound) * 1000);
  add(rows.rate, count / 3);
}

/** The longest of the waits for an echo, in milliseconds, for a time. */
async function longestWait(network: Network, forMs: number): Promise<number> {
  const program = `
    const socket = require("node:net").connect(${listenPort}, "127.0.0.1");
    const packet = require("node:crypto").randomBytes(256);
    packet[255] = 0; // echo: load.c
    let longest = 0, sent = 0n, received = 0, warm = 200;
    const send = () => { sent = process.hrtime.bigint(); socket.write(packet); };
    socket.on("connect", send);
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (received % 256 !== 0) return;
      if (warm-- < 0) longest = Math.max(longest, Number(process.hrtime.bigint() - sent) / 1e6);
      send();
    });
    setTimeout(() => { console.log(longest); process.exit(0); }, ${forMs});`;
  await using child = new Child([process.execPath, "-e", program], { namespace: network.gate });
  const longest = Number((await child.said(/^([\d.]+)$/m, forMs + 10_000))[1]);
  if (longest === 0) throw new Error("Cannot use the waits: nothing came back through the relay");
  return longest;
}

async function ending(network: Network, load: Load, directory: TempDir): Promise<void> {
  using map = new BlockMap();
  await using _server = await load.serve(5001, network.gate);
  await using gate = await RunningGate.start(["-B", map.name, ...loopbackGate], { namespace: network.gate });
  const calmMs = await longestWait(network, 4000);
  add(rows.calm, calmMs);
  const lines = Array.from({ length: together }, (_, at) => `${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.7 2s`);
  const list = directory.write("together", `${lines.join("\n")}\n`);
  await gate.command("ban", "--from", list);
  add(rows.pause, Math.max(0, (await longestWait(network, 4000)) - calmMs));
  await gate.until("all bans over", ({ bans }) => bans.active === 0, 10_000);
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  using network = new Network();
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    await underFlood(network, load);
    await ending(network, load, directory);
    say(
      `round ${round + 1}  bans: ${Object.values(rows)
        .map(({ metric, samples }) => `${metric} ${samples["ttgate"]?.at(-1)?.toPrecision(3)}`)
        .join("; ")}`,
    );
  }
  return {
    name: "bans",
    reference: "limit",
    rows: Object.values(rows),
    method: [
      "the gate in a namespace of its own, XDP (generic) on its loopback; bans by the command line from a file",
      "verdict to map entry: the gate's own histogram, upper bound of the bucket that holds the 99th percentile",
      "longest wait: one connection, 256 random bytes to and fro through the relay, the client in JavaScript",
    ],
  };
}

export const bansBench: Bench = { name: "bans", run };
