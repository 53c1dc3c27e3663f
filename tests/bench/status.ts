// SPDX-License-Identifier: Apache-2.0
// What those who watch cost those who are relayed: a thousand status requests a second, and each long answer of a
// gate with a hundred thousand bans, again and again.
import process from "node:process";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Asker } from "./asker.ts";
import { Load } from "./load.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";
import { Samples } from "./samples.ts";

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

interface Tools {
  readonly load: Load;
  readonly asker: Asker;
  readonly network: Network;
  readonly directory: TempDir;
}

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

/** What else there is on the machine where the gate is asked: the same questions to a server that does nothing else. */
async function constantServer(socket: string, body: string): Promise<Child> {
  const program = `
    const headers = { "content-type": "application/json" };
    Bun.serve({ unix: ${JSON.stringify(socket)}, fetch: () => new Response(${JSON.stringify(body)}, { headers }) });
    console.log("ready");`;
  const server = new Child([process.execPath, "-e", program]);
  await server.said(/ready/);
  return server;
}

const busyPacket = "relayed packet of 64 busy connections";

async function measureSteady(gate: RunningGate, tools: Tools, { rounds, say }: BenchOptions): Promise<Row[]> {
  const { load, asker, network, directory } = tools;
  const samples = new Samples();
  const control = directory.file("control");
  await using _control = await constantServer(control, JSON.stringify(await gate.status()));
  const busy = { port: listenPort, connections: 64, seconds: 4, namespace: network.gate };
  const metric = `${busyPacket}, p99, ${requestsPerSecond} GET /status a second`;
  const targets = ["alone", "control"].map((reference) => ({ subject: "asked", reference, ratio: 1.1 }));
  const sockets = { alone: undefined, control, asked: socketOf(gate) };
  for (let round = 0; round < rounds; round++) {
    for (const [subject, socket] of Object.entries(sockets)) {
      const beforeMs = await gate.cpuMs();
      const measure = () => load.measure("pingpong", busy);
      const question = { path: "/status", perSecond: requestsPerSecond };
      const [result, asked] =
        socket === undefined ? [await measure(), undefined] : await asker.meanwhile({ socket, ...question }, measure);
      const cpuUs = ((await gate.cpuMs()) - beforeMs) * 1000;
      samples.add({ metric, unit: "ms", better: "lower", targets }, subject, result.p99Us / 1000);
      samples.add(
        { metric: `${busyPacket}: CPU of the gate`, unit: "µs", better: "lower" },
        subject,
        cpuUs / result.total,
      );
      const told =
        asked === undefined
          ? ""
          : ` with ${asked.perSecond} answers/s (asker ${Math.round(asked.cpuShare * 100)} % busy)`;
      say(`round ${round + 1}  ${subject}: p99 ${result.p99Us} us, ${Math.round(result.perSecond)} packets/s${told}`);
    }
  }
  return samples.rows();
}

async function measureWaits(gate: RunningGate, tools: Tools, { rounds, say }: BenchOptions): Promise<Row[]> {
  const { asker, network } = tools;
  const samples = new Samples();
  for (const path of paths) {
    const metric = `longest wait of a relayed packet, ${bans} bans, GET ${path} again and again`;
    const row = { metric, unit: "ms", better: "lower" } as const;
    for (let round = 0; round < Math.min(rounds, 2); round++) {
      const alone = await waits(network);
      const question = { socket: socketOf(gate), path, perSecond: 20 };
      const [asked, { perSecond }] = await asker.meanwhile(question, () => waits(network));
      samples.add(row, "alone", alone.longest);
      samples.add(row, "asked", asked.longest);
      say(
        `round ${round + 1}  ${path}: longest ${alone.longest} ms alone, ${asked.longest} ms with ${perSecond} answers/s`,
      );
    }
  }
  return samples.rows();
}

function socketOf(gate: RunningGate): string {
  return gate.statusAddress.slice("unix:".length);
}

async function run(options: BenchOptions): Promise<Report> {
  using network = new Network();
  using directory = new TempDir();
  using map = new BlockMap();
  const load = await Load.compile(directory.path);
  const tools = { load, asker: await Asker.compile(directory.path), network, directory };
  await using _server = await load.serve(5001, network.gate);
  const flags = ["-B", map.name, "-l", `127.0.0.1:${listenPort}`, "-i", "lo", "--never-ban", "none"];
  await using gate = await RunningGate.start(flags, { namespace: network.gate });
  const steady = await measureSteady(gate, tools, options);
  const lines = Array.from({ length: bans }, (_, at) => `${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.7`);
  await gate.command("ban", "--from", directory.write("bans", `${lines.join("\n")}\n`), "--for", "1d");
  return {
    name: "status",
    reference: "alone",
    rows: [...steady, ...(await measureWaits(gate, tools, options))],
    method: [
      "the gate in a namespace of its own, XDP (generic) on its loopback; status over its unix socket, asked by a program in C over four connections that stay open",
      "control: the same questions to a server in a process of its own (Bun.serve) that answers the same bytes each time, and nothing to the gate: what the asking itself costs on a machine of two CPUs",
      "p99: 64 connections, 256 random bytes to and fro as fast as they come; longest wait: one, in JavaScript",
      `long answers are asked for 20 times a second at most, by four at a time, with ${bans} bans in table and kernel map`,
    ],
  };
}

export const statusBench: Bench = { name: "status", run };
