// SPDX-License-Identifier: Apache-2.0
// System calls that a relayed connection and a relayed packet take, counted by strace: a number that a busy machine
// hardly changes.
import { readFileSync } from "node:fs";
import { Child } from "../harness/child.ts";
import { freePort } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Load, type LoadMode } from "./load.ts";
import type { Bench, BenchOptions, Report } from "./report.ts";
import { Samples } from "./samples.ts";
import { availableSubjects, type Subject, startSubject } from "./subjects.ts";

const connections = 32;
const seconds = 2;
const mostRounds = 3;

const works: readonly { readonly mode: LoadMode; readonly metric: string; readonly target: number }[] = [
  { mode: "connect", metric: "a connection: connect, ping, close", target: 1.4 },
  { mode: "pingpong", metric: "a ping and its answer", target: 1.1 },
];
/** A call that is made less often than this is left to the sum. */
const tellingCount = 0.05;
const unit = { unit: "calls", better: "lower" } as const;

/** Calls by name while the load runs, for each connection or ping. */
async function counted(load: Load, mode: LoadMode, { pid, port, name }: Subject, directory: TempDir) {
  const file = directory.file("calls");
  await using strace = new Child(["strace", "-f", "-c", "-U", "name,calls", "-o", file, "-p", `${pid}`]);
  await strace.said(/attached/);
  const { total, failures } = await load.measure(mode, { port, connections, seconds });
  if (failures > 0) throw new Error(`Cannot use the result: ${failures} connections through ${name} failed`);
  strace.signal("SIGINT");
  await strace.exited;
  const calls = [...readFileSync(file, "utf8").matchAll(/^ *(\w+) +(\d+)$/gm)].filter(([, call]) => call !== "total");
  if (calls.length === 0) throw new Error(`Cannot use what strace tells of ${name}: ${readFileSync(file, "utf8")}`);
  return calls.map(([, call = "", count]) => [call, Number(count) / total] as const);
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  using directory = new TempDir();
  const load = await Load.compile(directory.path);
  const names = (await availableSubjects(say)).filter((name) => name !== "direct");
  const serverPort = await freePort();
  await using _server = await load.serve(serverPort);
  await using stack = new AsyncDisposableStack();
  const samples = new Samples();
  const subjects: Subject[] = [];
  for (const name of names) subjects.push(stack.use(await startSubject(name, serverPort, directory)));
  for (const { mode, metric, target } of works) {
    const targets = [
      { subject: "ttgate", reference: "haproxy", ratio: target },
      // Not a call more than the runtime alone needs, but for those that belong to nobody.
      { subject: "ttgate", reference: "bare Bun", ratio: 1.05 },
    ];
    for (let round = 0; round < Math.min(rounds, mostRounds); round++) {
      for (const subject of subjects) {
        const calls = await counted(load, mode, subject, directory);
        const all = calls.reduce((sum, [, count]) => sum + count, 0);
        samples.add({ metric, ...unit, targets }, subject.name, all);
        for (const [call, count] of calls)
          if (count >= tellingCount) samples.add({ metric: `${metric}: ${call}`, ...unit }, subject.name, count);
        say(`round ${round + 1}  ${metric}: ${subject.name} ${all.toFixed(2)} calls`);
      }
    }
  }
  return {
    name: "socket_calls",
    reference: "haproxy",
    rows: samples.rows(),
    method: [
      `strace -f -c on the running process, ${connections} connections over loopback for ${seconds} s, fewer than usual because each call is stopped; divided by the connections or pings that were answered`,
      `all system calls of all threads count; a call that is made less often than ${tellingCount} times is in the sum alone`,
    ],
  };
}

export const socketCallsBench: Bench = { name: "socket_calls", run };
