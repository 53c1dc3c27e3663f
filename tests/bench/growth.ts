// SPDX-License-Identifier: Apache-2.0
// What grows with the number of bans, from a thousand to a million: loading and lifting them, the gate's memory, a
// question and a search, and what the kernel takes to drop a packet of any of them.
import type { Libraries } from "../../src/kernel/libraries.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { guardedPort } from "../bpf/gate.ts";
import { ethernet, ipv4, packet, payload, tcp } from "../bpf/packet.ts";
import { runProgram } from "../bpf/test_run.ts";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, ttgate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { banSources, compileBench, loadBench } from "./bench_object.ts";
import { type Bench, type BenchOptions, median, type Report, type Row } from "./report.ts";

const sizes = [1_000, 10_000, 100_000, 1_000_000];
const [least = 0] = sizes;
const most = sizes.at(-1) ?? 0;
const nameOf = (size: number) => size.toLocaleString("en-GB");
const mostRounds = 3;
/** Answers of which the median is a sample. */
const questions = 21;
const runs = 1_000_000;
/** A million on a busy machine. */
const patienceMs = 120_000;

const limit = "limit";

/** @param most what it may be at a million. */
function row(metric: string, unit: string, limitAtMost?: number): Row & { readonly samples: Record<string, number[]> } {
  const samples: Record<string, number[]> = Object.fromEntries(sizes.map((size) => [nameOf(size), []]));
  const targets = [{ subject: nameOf(most), reference: limit, ratio: 1 }];
  if (limitAtMost === undefined) return { metric, unit, better: "lower", samples };
  return { metric, unit, better: "lower", samples: { ...samples, [limit]: [limitAtMost] }, targets };
}

const rows = {
  load: row("loaded, ttgate ban --from", "s", 3),
  lift: row("lifted, ttgate lift --from", "s", 3),
  memory: row("memory of the gate", "MiB"),
  map: row("memory of the kernel's map", "MiB"),
  why: row("one asked for, GET /why", "ms"),
  search: row("all looked through, GET /bans", "ms"),
  drop: row("a packet of any one dropped", "ns"),
} as const;

function add(name: keyof typeof rows, size: number, sample: number): void {
  rows[name].samples[nameOf(size)]?.push(sample);
}

async function atSize(size: number, network: Network, directory: TempDir): Promise<void> {
  using map = new BlockMap();
  const args = ["-B", map.name, "-l", "127.0.0.1:5000", "-i", "lo", "--never-ban", "none"];
  await using gate = await RunningGate.start(args, { namespace: network.gate });
  const sources = Array.from(
    { length: size },
    (_, at) => `${11 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.${(at * 7) & 255}`,
  );
  const list = directory.write("bans", `${sources.join("\n")}\n`);
  add("load", size, await seconds(gate, size, "ban", "--from", list));
  add("memory", size, (await gate.residentBytes()) / 2 ** 20);
  const shown = bpftool(["map", "show", "pinned", map.path]) as { bytes_memlock: number };
  add("map", size, shown.bytes_memlock / 2 ** 20);
  add("why", size, await milliseconds(gate, `/why/${sources.at(size / 2)}`, questions));
  // Found nowhere, so that each one is looked at.
  add("search", size, await milliseconds(gate, "/bans?q=nowhere", 5));
  add("lift", size, await seconds(gate, size, "lift", "--from", list));
}

async function seconds(gate: RunningGate, size: number, ...command: readonly string[]): Promise<number> {
  const started = performance.now();
  const argv = ttgate([...command, "--status", gate.statusAddress]);
  const { code, stdout, stderr } = await run(argv, { timeoutMs: patienceMs });
  if (code !== 0 || !stdout.includes(`${size}`))
    throw new Error(`Cannot use "${command.join(" ")}": ${stdout}${stderr}`);
  return (performance.now() - started) / 1000;
}

async function milliseconds(gate: RunningGate, path: string, times: number): Promise<number> {
  const took: number[] = [];
  for (let turn = 0; turn < times; turn++) {
    const started = performance.now();
    const reply = await gate.fetch(path);
    await reply.text();
    if (reply.status !== 200) throw new Error(`Cannot use "${path}": the gate answers ${reply.status}`);
    took.push(performance.now() - started);
  }
  return median(took);
}

function dropped(size: number, libraries: Libraries, directory: TempDir): () => number {
  const object = loadBench(libraries, compileBench(directory), ["gate_random"], { random_sources: size });
  banSources(libraries, object, size, "ttgate_bans");
  const frame = packet(ethernet(), ipv4({ source: "10.0.0.0" }), tcp({ destinationPort: guardedPort }), payload(6));
  const programFd = object.programFd("gate_random");
  return () => runProgram(libraries, programFd, frame, { repeat: runs }).durationNs;
}

async function measure({ rounds, say }: BenchOptions): Promise<Report> {
  using network = new Network();
  using directory = new TempDir();
  const libraries = await openLibraries(native);
  const taken = Math.min(rounds, mostRounds);
  for (const size of sizes) {
    const nanoseconds = dropped(size, libraries, directory);
    for (let round = 0; round < taken; round++) {
      await atSize(size, network, directory);
      add("drop", size, nanoseconds());
      const told = Object.values(rows).map(
        ({ metric, samples }) => `${metric} ${samples[nameOf(size)]?.at(-1)?.toPrecision(3)}`,
      );
      say(`round ${round + 1}  ${nameOf(size)} bans: ${told.join("; ")}`);
    }
  }
  return {
    name: "growth",
    reference: nameOf(least),
    rows: Object.values(rows),
    method: [
      "the gate in a namespace of its own, XDP (generic) on its loopback; bans by the command line from a file, with the command's own start",
      `memory: resident, right after the load; questions over the unix socket, the median of ${questions}, searches of 5`,
      `dropped: BPF_PROG_TEST_RUN, the mean of ${nameOf(runs)} runs, each with another of the banned sources at random; the random number and a barrier are in it`,
    ],
  };
}

export const growthBench: Bench = { name: "growth", run: measure };
