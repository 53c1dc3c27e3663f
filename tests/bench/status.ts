// SPDX-License-Identifier: Apache-2.0
// What those who watch cost those who are relayed: a thousand status requests a second, and each long answer of a
// gate with a hundred thousand bans, again and again.
import process from "node:process";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Load } from "./load.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const bans = 100_000;
const listenPort = 5000;
const requestsPerSecond = 1000;
const pingMs = 4000;

const paths = [
  "/",
  "/?sort=source&offset=50000",
  "/bans?limit=10000",
  "/bans?q=20.1.0.0/16&sort=ends",
  "/metrics",
  "/status",
  "/history?count=1440",
  "/talkers",
] as const;

interface Waits {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

/** Waits for an echo through the relay, in milliseconds: one packet every millisecond. */
async function waits(network: Network): Promise<Waits> {
  const program = `
    const socket = require("node:net").connect(${listenPort}, "127.0.0.1");
    const packet = require("node:crypto").randomBytes(256);
    packet[255] = 0; // echo: load.c
    const all = [];
    let sent = 0n, received = 0, warm = 200;
    const send = () => { sent = process.hrtime.bigint(); socket.write(packet); };
    socket.setNoDelay(true);
    socket.on("connect", send);
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (received % 256 !== 0) return;
      if (warm-- < 0) all.push(Number(process.hrtime.bigint() - sent) / 1e6);
      send();
    });
    setTimeout(() => {
      all.sort((a, b) => a - b);
      const at = (share) => all[Math.floor((all.length - 1) * share)];
      console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99), longest: at(1) }));
      process.exit(0);
    }, ${pingMs});`;
  await using child = new Child([process.execPath, "-e", program], { namespace: network.gate });
  return JSON.parse((await child.said(/^(\{.*\})$/m, pingMs + 10_000))[1] ?? "") as Waits;
}

/** Asks over the unix socket, so many times a second, or as fast as the answers come where that is less. */
function asker(gate: RunningGate, path: string, perSecond: number): Child {
  const program = `
    const http = require("node:http");
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
    let open = 0, done = 0, bad = 0;
    const ask = () => {
      open++;
      http.get({ socketPath: ${JSON.stringify(gate.statusAddress.slice("unix:".length))}, path: ${JSON.stringify(path)}, agent }, (reply) => {
        reply.resume();
        reply.on("end", () => { open--; done++; if (reply.statusCode !== 200 && reply.statusCode !== 503) bad++; });
      });
    };
    const startedMs = performance.now();
    let asked = 0;
    setInterval(() => {
      const due = (performance.now() - startedMs) * ${perSecond} / 1000;
      for (; asked < due; asked++) if (open < 4) ask();
    }, 1);
    process.on("SIGTERM", () => { console.log("answers", done, bad); process.exit(0); });`;
  return new Child([process.execPath, "-e", program]);
}

async function meanwhile(
  network: Network,
  gate: RunningGate,
  path: string,
  perSecond: number,
): Promise<readonly [Waits, number]> {
  await using child = asker(gate, path, perSecond);
  const found = await waits(network);
  child.signal("SIGTERM");
  const [, done, bad] = await child.said(/answers (\d+) (\d+)/);
  if (Number(done) === 0 || Number(bad) > 0) throw new Error(`Cannot use "${path}": ${done} answers, ${bad} bad`);
  return [found, Number(done) / (pingMs / 1000)];
}

function samplesOf(): Record<"alone" | "asked", number[]> {
  return { alone: [], asked: [] };
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  using network = new Network();
  using directory = new TempDir();
  using map = new BlockMap();
  const load = await Load.compile(directory.path);
  await using _server = await load.serve(5001, network.gate);
  const flags = ["-B", map.name, "-l", `127.0.0.1:${listenPort}`, "-i", "lo", "--never-ban", "none"];
  await using gate = await RunningGate.start(flags, { namespace: network.gate });
  const steady: Row = {
    metric: `relayed packet, p99, ${requestsPerSecond} GET /status a second`,
    ...{ unit: "ms", better: "lower", samples: samplesOf() },
    targets: [{ subject: "asked", reference: "alone", ratio: 1.1 }],
  };
  const rows: Row[] = [steady];
  const add = (row: Row, alone: Waits, asked: Waits, of: "p99" | "longest") => {
    (row.samples["alone"] as number[]).push(alone[of]);
    (row.samples["asked"] as number[]).push(asked[of]);
  };
  for (let round = 0; round < rounds; round++) {
    const alone = await waits(network);
    const [asked, perSecond] = await meanwhile(network, gate, "/status", requestsPerSecond);
    add(steady, alone, asked, "p99");
    say(`round ${round + 1}  status: p99 ${alone.p99} ms alone, ${asked.p99} ms with ${perSecond} answers/s`);
  }
  const lines = Array.from({ length: bans }, (_, at) => `${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.7`);
  await gate.command("ban", "--from", directory.write("bans", `${lines.join("\n")}\n`), "--for", "1d");
  for (const path of paths) {
    const row: Row = {
      metric: `longest wait of a relayed packet, ${bans} bans, GET ${path} again and again`,
      ...{ unit: "ms", better: "lower", samples: samplesOf() },
    };
    rows.push(row);
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      const alone = await waits(network);
      const [asked, perSecond] = await meanwhile(network, gate, path, 20);
      add(row, alone, asked, "longest");
      say(
        `round ${round + 1}  ${path}: longest ${alone.longest} ms alone, ${asked.longest} ms with ${perSecond} answers/s; p99 ${alone.p99}, ${asked.p99}`,
      );
    }
  }
  return {
    name: "status",
    reference: "alone",
    rows,
    method: [
      "the gate in a namespace of its own, XDP (generic) on its loopback; status over its unix socket",
      "one connection, 256 random bytes to and fro through the relay, the client in JavaScript",
      `long answers are asked for 20 times a second at most, by four at a time, with ${bans} bans in table and kernel map`,
    ],
  };
}

export const statusBench: Bench = { name: "status", run };
