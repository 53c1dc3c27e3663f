// SPDX-License-Identifier: Apache-2.0
// User space in inline mode: how soon a ban is to be seen after the segment that it is for, how soon the
// kernel judges after the start, and memory.
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { serverPort, startInline } from "./inline_path.ts";
import { Load } from "./load.ts";
import { type Bench, type BenchOptions, median, type Report, type Row } from "./report.ts";

const strangers = 200;
const visibleMs = 100;
/** Apart, and not in step with the gate's timer; the log takes 20 bans a second. */
const pauseMs = { least: 50, most: 90 } as const;
const pollMs = 2;
const settleMs = 2000;
const mebibyte = 1024 * 1024;

const inlineName = "inline";
const proxyName = "proxy";
const limitName = "limit";

interface Visible {
  readonly bansMs: readonly number[];
  readonly logMs: readonly number[];
}

/** Wall clock, which this process and the strangers' have in common, finer than Date. */
function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Sends an HTTP request from each address in turn; says which, and when. */
function strangersProgram(addresses: readonly string[], server: string): string {
  return `
    const { connect } = require("node:net");
    for (const from of ${JSON.stringify(addresses)}) {
      await new Promise((resolve) => {
        const socket = connect({ host: ${JSON.stringify(server)}, port: ${serverPort}, localAddress: from });
        socket.on("error", () => {});
        socket.on("connect", () => {
          const at = performance.timeOrigin + performance.now();
          socket.write("GET / HTTP/1.1\\r\\nHost: 192.0.2.1\\r\\nUser-Agent: scanner\\r\\n\\r\\n");
          console.log("sent", from, at);
          setTimeout(resolve, ${pauseMs.least} + Math.random() * ${pauseMs.most - pauseMs.least});
        });
      });
    }
    console.log("end");
    process.exit(0);`;
}

/** From the moment in which each stranger sends to the moment in which somebody who asks sees the ban. */
async function visibility(gate: RunningGate, network: Network): Promise<Visible> {
  const addresses = Array.from({ length: strangers }, (_, index) => network.clientIpv4(index + 1));
  const program = strangersProgram(addresses, network.gateIpv4);
  await using child = new Child([process.execPath, "-e", program], { namespace: network.client });
  const bannedMs = new Map<string, number>();
  const loggedMs = new Map<string, number>();
  const deadline = performance.now() + strangers * pauseMs.most + 20_000;
  while (bannedMs.size < strangers) {
    if (performance.now() > deadline) throw new Error(`Only ${bannedMs.size} of ${strangers} strangers were banned`);
    const now = wallMs();
    for (const [, source] of gate.child.stderr.matchAll(/ Banned (\S+) for /g)) note(loggedMs, source, now);
    const bans = await gate.bans();
    for (const { source } of bans) note(bannedMs, source, wallMs());
    await sleep(pollMs);
  }
  await child.said(/^end$/m);
  const sent = [...child.stdout.matchAll(/^sent (\S+) (\S+)$/gm)].map(
    ([, from = "", at]) => [from, Number(at)] as const,
  );
  // The log has a line for each of the first ones within a minute, and then for many together.
  const since = (seen: ReadonlyMap<string, number>) =>
    sent.flatMap(([from, at]) => (seen.has(from) ? (seen.get(from) ?? 0) - at : []));
  return { bansMs: since(bannedMs), logMs: since(loggedMs) };
}

function note(seen: Map<string, number>, source: string | undefined, nowMs: number): void {
  if (source !== undefined && !seen.has(source)) seen.set(source, nowMs);
}

function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Until the line of the log that says so, by its own time. */
function startMs(gate: RunningGate, startedMs: number): number {
  const said = /^(\S+) info (?:Listening on|Judging connections to)/m.exec(gate.child.stderr)?.[1] ?? "";
  return Date.parse(said) - startedMs;
}

function limited(metric: string): Row {
  const targets = [{ subject: inlineName, reference: limitName, ratio: 1 }];
  return { metric, unit: "ms", better: "lower", samples: { [inlineName]: [], [limitName]: [visibleMs] }, targets };
}

function compared(metric: string, unit: string): Row {
  return { metric, unit, better: "lower", samples: { [inlineName]: [], [proxyName]: [] } };
}

function add(row: Row, subject: string, sample: number): void {
  (row.samples[subject] as number[]).push(sample);
}

async function runGate({ rounds, say }: BenchOptions): Promise<Report> {
  const rows = {
    bansMedian: limited("segment to the ban in /bans, median"),
    bansP99: limited("segment to the ban in /bans, p99"),
    logMedian: limited("segment to the ban in the log, median"),
    logP99: limited("segment to the ban in the log, p99"),
    start: compared("exec to judging", "ms"),
    memory: compared("memory, idle", "MiB"),
  };
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  for (let round = 1; round <= rounds; round++) {
    using network = new Network({ clients: strangers });
    await using _server = await load.serve(serverPort, network.gate, "0.0.0.0");
    {
      using map = new BlockMap();
      const startedMs = wallMs();
      await using gate = await startInline(map, network);
      add(rows.start, inlineName, startMs(gate, startedMs));
      await sleep(settleMs);
      add(rows.memory, inlineName, (await gate.residentBytes()) / mebibyte);
      const { bansMs, logMs } = await visibility(gate, network);
      add(rows.bansMedian, inlineName, median(bansMs));
      add(rows.bansP99, inlineName, quantile(bansMs, 0.99));
      add(rows.logMedian, inlineName, median(logMs));
      add(rows.logP99, inlineName, quantile(logMs, 0.99));
    }
    {
      using map = new BlockMap();
      const startedMs = wallMs();
      const listen = ["-l", `${network.gateIpv4}:${serverPort + 1}`, "-u", `${network.gateIpv4}:${serverPort}`];
      const argv = ["-B", map.name, "-i", network.device, ...listen];
      await using gate = await RunningGate.start(argv, { namespace: network.gate });
      add(rows.start, proxyName, startMs(gate, startedMs));
      await sleep(settleMs);
      add(rows.memory, proxyName, (await gate.residentBytes()) / mebibyte);
    }
    const last = Object.values(rows).map(
      ({ metric, samples }) => `${metric} ${samples[inlineName]?.at(-1)?.toFixed(1)}`,
    );
    say(`round ${round}  inline_gate: ${last.join("; ")}`);
  }
  return {
    name: "inline_gate",
    reference: limitName,
    rows: Object.values(rows),
    method: [
      `${strangers} addresses send an HTTP request one after the other, ${pauseMs.least} to ${pauseMs.most} ms apart, over a veth pair with native XDP; /bans is asked for and the log read every ${pollMs} ms by another process, whose own delay counts; the log has a line for each of the first 20 alone`,
      `exec to judging: to the time of the log line that says so, of a map that is not there yet; memory: resident, ${settleMs / 1000} s later; proxy: the relay with the same kernel block`,
    ],
  };
}

export const inlineGateBench: Bench = { name: "inline_gate", run: runGate };
