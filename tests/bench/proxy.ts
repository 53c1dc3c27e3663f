// SPDX-License-Identifier: Apache-2.0
// The relay side by side: ttgate, HAProxy doing the same job with one thread, nginx that only relays, and no gate at
// all, in alternating rounds against the same server with the same load.
import type { Child } from "../harness/child.ts";
import { freePort } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";
import { Load, type LoadMode, type LoadResult } from "./load.ts";
import type { Bench, BenchOptions, Report } from "./report.ts";
import { Samples } from "./samples.ts";
import {
  availableSubjects,
  cpuSeconds,
  residentMemory,
  type Subject,
  type SubjectName,
  startSubject,
} from "./subjects.ts";

const connections = 32;
const held = 3000;
/** Sources in a round of hostile connections that no other round uses. */
const sourcesPerRound = 200_000;
const memoryRounds = 3;
const mebibyte = 1024 * 1024;

interface Work {
  readonly mode: LoadMode;
  readonly metric: string;
  readonly unit: string;
  readonly seconds: number;
  readonly figure: (result: LoadResult) => number;
  /** What CPU time is told for, a second. */
  readonly count: (result: LoadResult) => number;
  readonly each: string;
  /** What the ratios to HAProxy and to a bare relay on Bun must be. */
  readonly target?: readonly [haproxy: number, bare: number];
  /** Only a gate turns anybody away. */
  readonly gatesOnly?: boolean;
}

const perSecond = (result: LoadResult) => result.perSecond;
const gigabits = (result: LoadResult) => (result.bytesPerSecond * 8) / 1e9;
const mebibytes = (result: LoadResult) => result.bytesPerSecond / mebibyte;

const ofOne = { figure: perSecond, count: perSecond, each: "each" };
const ofBulk = { figure: gigabits, count: mebibytes, each: "per MiB" };

const works: readonly Work[] = [
  { mode: "pingpong", metric: "ping-pong", unit: "requests/s", seconds: 2, ...ofOne, target: [0.9, 0.95] },
  {
    mode: "connect",
    metric: "connect, ping, close",
    unit: "connections/s",
    seconds: 2,
    ...ofOne,
    target: [0.75, 0.85],
  },
  { mode: "download", metric: "bulk to the client", unit: "Gbit/s", seconds: 1.5, ...ofBulk, target: [1.2, 0.9] },
  { mode: "upload", metric: "bulk to the server", unit: "Gbit/s", seconds: 1.5, ...ofBulk, target: [1.2, 0.9] },
  { mode: "hostile", metric: "hostile, new source", unit: "refused/s", seconds: 2, ...ofOne, gatesOnly: true },
  { mode: "banned", metric: "hostile, known source", unit: "refused/s", seconds: 1.5, ...ofOne, gatesOnly: true },
];

async function measureWork(
  load: Load,
  work: Work,
  subject: Subject,
  firstSource: number,
  samples: Samples,
): Promise<LoadResult> {
  const { port, pid } = subject;
  const cpuBefore = pid === undefined ? undefined : await cpuSeconds(pid);
  const result = await load.measure(work.mode, { port, connections, seconds: work.seconds, firstSource });
  const cpuAfter = pid === undefined ? undefined : await cpuSeconds(pid);
  if (result.failures > 0)
    throw new Error(`Cannot use the result: ${result.failures} connections through ${subject.name} failed`);
  const { metric, unit } = work;
  const targets = ["haproxy", "bare Bun"].flatMap((reference, index) => {
    const ratio = work.target?.[index];
    return ratio === undefined ? [] : [{ subject: "ttgate", reference, ratio }];
  });
  samples.add({ metric, unit, better: "higher", targets }, subject.name, work.figure(result));
  if (work.mode === "pingpong") addQuantiles(samples, subject.name, result);
  if (cpuBefore !== undefined && cpuAfter !== undefined) {
    const each = (seconds: number) => (seconds * 1e6) / (work.count(result) * work.seconds);
    const row = { unit: `µs ${work.each}`, better: "lower" } as const;
    const user = cpuAfter.user - cpuBefore.user;
    const kernel = cpuAfter.kernel - cpuBefore.kernel;
    samples.add({ metric: `${metric}: CPU`, ...row }, subject.name, each(user + kernel));
    samples.add({ metric: `${metric}: CPU in user mode`, ...row }, subject.name, each(user));
  }
  return result;
}

function addQuantiles(samples: Samples, subject: string, { p50Us, p90Us, p99Us, p999Us }: LoadResult): void {
  for (const [quantile, us] of Object.entries({ p50: p50Us, p90: p90Us, p99: p99Us, "p99.9": p999Us }))
    samples.add({ metric: `ping-pong ${quantile}`, unit: "µs", better: "lower" }, subject, us);
}

function isGate({ name }: Subject): boolean {
  return name === "ttgate" || name === "haproxy";
}

async function measureRates(
  load: Load,
  subjects: readonly Subject[],
  options: BenchOptions,
  samples: Samples,
): Promise<void> {
  for (let round = 0; round < options.rounds; round++) {
    for (const work of works) {
      // Another one begins each round, so that none always follows the same neighbour.
      const order = subjects.map((_, index) => subjects[(index + round) % subjects.length]);
      for (const subject of order) {
        if (subject === undefined || (work.gatesOnly === true && !isGate(subject))) continue;
        // Legitimate load: the first addresses. Hostile load: the ones after them, new in each round.
        const firstSource = work.gatesOnly === true ? 100_000 + round * sourcesPerRound : 0;
        const result = await measureWork(load, work, subject, firstSource, samples);
        const busy = Math.round(result.cpuShare * 100);
        options.say(
          `round ${round + 1}  ${work.metric.padEnd(30)} ${subject.name.padEnd(8)} ${work.figure(result).toFixed(1).padStart(10)} ${work.unit}  (generator ${busy} % busy)`,
        );
      }
    }
  }
}

/** In a process that has done nothing else: what is left over from other work is not its connections'. */
async function measureMemory(
  load: Load,
  name: SubjectName,
  server: Child,
  port: number,
  directory: TempDir,
  samples: Samples,
): Promise<void> {
  await using subject = await startSubject(name, port, directory);
  if (subject.pid === undefined || server.exit !== undefined) return;
  const idle = await settledMemory(subject.pid);
  await using _holder = await load.hold(subject.port, held);
  const full = await settledMemory(subject.pid);
  samples.add({ metric: "memory, idle", unit: "MiB", better: "lower" }, name, idle.bytes / mebibyte);
  samples.add({ metric: `memory, ${held} connections`, unit: "MiB", better: "lower" }, name, full.bytes / mebibyte);
  const targets = [{ subject: "ttgate", reference: "haproxy", ratio: 0.6 }];
  const each = (full.anonymousBytes - idle.anonymousBytes) / held / 1024;
  samples.add({ metric: "memory per held connection", unit: "KiB", better: "lower", targets }, name, each);
}

/** Once it stands still for a second. */
async function settledMemory(pid: number): ReturnType<typeof residentMemory> {
  let last = 0;
  let sinceMs = performance.now();
  return waitFor("memory to settle", async () => {
    const now = await residentMemory(pid);
    if (Math.abs(now.bytes - last) > mebibyte / 4) {
      last = now.bytes;
      sinceMs = performance.now();
    }
    return performance.now() - sinceMs > 1000 && now;
  });
}

async function run(options: BenchOptions): Promise<Report> {
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  const names = await availableSubjects(options.say);
  const serverPort = await freePort();
  await using server = await load.serve(serverPort);
  await using stack = new AsyncDisposableStack();
  const subjects: Subject[] = [];
  for (const name of names) subjects.push(stack.use(await startSubject(name, serverPort, directory)));
  const samples = new Samples();
  await measureRates(load, subjects, options, samples);
  for (let round = 0; round < Math.min(memoryRounds, options.rounds); round++) {
    for (const name of names) await measureMemory(load, name, server, serverPort, directory, samples);
    options.say(`round ${round + 1}  memory with ${held} held connections`);
  }
  return { name: "proxy", reference: "haproxy", method: methodOf(subjects, options), rows: samples.rows() };
}

function methodOf(subjects: readonly Subject[], options: BenchOptions): string[] {
  const versions = subjects
    .filter((subject) => subject.version !== "")
    .map((subject) => `${subject.name}: ${subject.version}`);
  return [
    ...versions,
    `${connections} connections over loopback, each from an address of its own; packets of 256 random bytes; load generator and server in C, one thread each`,
    `medians of ${options.rounds} alternating rounds (memory: ${Math.min(memoryRounds, options.rounds)}, fresh processes); nothing is pinned to a CPU; the first fifth of each run does not count`,
    "HAProxy: one thread, inspects the first bytes for the same protocols, stick table of 10 minutes, turns known sources away at accept",
    "nginx: one worker, stream module, relays without looking",
    "hostile: connects, sends an HTTP request, waits for the end of the connection; no kernel block",
    `memory: resident; ${held} clients connect at once, as after a restart, exchange one packet each and stay; for each of them anonymous memory alone, since the pages of the executable that are read in meanwhile are nobody's`,
    "bare Bun: tests/bench/bare_relay.ts, a relay on the same runtime that does nothing else: the least that ttgate could take",
    "CPU: user and kernel time of the gate's process, which a busy machine disturbs less than a rate",
  ];
}

export const proxyBench: Bench = { name: "proxy", run };
