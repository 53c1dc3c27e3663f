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
const pingMs = 3000;

const paths = [
  "/",
  "/?sort=source&offset=50000",
  "/bans?limit=10000",
  "/bans?q=20.1.0.0/16&sort=left",
  "/metrics",
  "/status",
  "/history?count=1440",
  "/talkers",
] as const;

interface Waits {
  readonly longest: number;
}

/** Waits for an echo through the relay, in milliseconds: one packet after the other. */
async function waits(network: Network): Promise<Waits> {
  const program = `
    const socket = require("node:net").connect(${listenPort}, "127.0.0.1");
    const packet = require("node:crypto").randomBytes(256);
    packet[255] = 0; // echo: load.c
    let longest = 0;
    let sent = 0n, received = 0, warm = 200;
    const send = () => { sent = process.hrtime.bigint(); socket.write(packet); };
    socket.setNoDelay(true);
    socket.on("connect", send);
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (received % 256 !== 0) return;
      if (warm-- < 0) longest = Math.max(longest, Number(process.hrtime.bigint() - sent) / 1e6);
      send();
    });
    setTimeout(() => {
      console.log(JSON.stringify({ longest }));
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

/** @returns what was measured, and answers a second. */
async function meanwhile<T>(gate: RunningGate, path: string, perSecond: number, measured: () => Promise<T>) {
  await using child = asker(gate, path, perSecond);
  const startedMs = performance.now();
  const found = await measured();
  const seconds = (performance.now() - startedMs) / 1000;
  child.signal("SIGTERM");
  const [, done, bad] = await child.said(/answers (\d+) (\d+)/);
  if (Number(done) === 0 || Number(bad) > 0) throw new Error(`Cannot use "${path}": ${done} answers, ${bad} bad`);
  return [found, Math.round(Number(done) / seconds)] as const;
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
    metric: `relayed packet of 64 busy connections, p99, ${requestsPerSecond} GET /status a second`,
    ...{ unit: "ms", better: "lower", samples: samplesOf() },
    targets: [{ subject: "asked", reference: "alone", ratio: 1.1 }],
  };
  const rows: Row[] = [steady];
  const add = (row: Row, alone: number, asked: number) => {
    (row.samples["alone"] as number[]).push(alone);
    (row.samples["asked"] as number[]).push(asked);
  };
  const busy = { port: listenPort, connections: 64, seconds: 4, namespace: network.gate };
  for (let round = 0; round < rounds; round++) {
    const alone = await load.measure("pingpong", busy);
    const [asked, perSecond] = await meanwhile(gate, "/status", requestsPerSecond, () =>
      load.measure("pingpong", busy),
    );
    add(steady, alone.p99Us / 1000, asked.p99Us / 1000);
    say(`round ${round + 1}  status: p99 ${alone.p99Us} us alone, ${asked.p99Us} us with ${perSecond} answers/s`);
  }
  const lines = Array.from({ length: bans }, (_, at) => `${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.7`);
  await gate.command("ban", "--from", directory.write("bans", `${lines.join("\n")}\n`), "--for", "1d");
  for (const path of paths) {
    const row: Row = {
      metric: `longest wait of a relayed packet, ${bans} bans, GET ${path} again and again`,
      ...{ unit: "ms", better: "lower", samples: samplesOf() },
    };
    rows.push(row);
    for (let round = 0; round < Math.min(rounds, 2); round++) {
      const alone = await waits(network);
      const [asked, perSecond] = await meanwhile(gate, path, 20, () => waits(network));
      add(row, alone.longest, asked.longest);
      say(
        `round ${round + 1}  ${path}: longest ${alone.longest} ms alone, ${asked.longest} ms with ${perSecond} answers/s`,
      );
    }
  }
  return {
    name: "status",
    reference: "alone",
    rows,
    method: [
      "the gate in a namespace of its own, XDP (generic) on its loopback; status over its unix socket",
      "p99: 64 connections, 256 random bytes to and fro as fast as they come; longest wait: one, in JavaScript",
      `long answers are asked for 20 times a second at most, by four at a time, with ${bans} bans in table and kernel map`,
    ],
  };
}

export const statusBench: Bench = { name: "status", run };
