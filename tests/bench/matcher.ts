// SPDX-License-Identifier: Apache-2.0
// The matcher: time and memory for one verdict on a 64-byte prefix, with the full library; beside it the
// engine in the kernel, and how far the verifier goes through the programs that carry it.
import { heapStats } from "bun:jsc";
import process from "node:process";
import { loadProfile, loadSniffer } from "../../src/config/profile.ts";
import { tableOf } from "../../src/core/signature/table.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { loadInline, openEngine } from "../bpf/inline.ts";
import { verifiedInstructions } from "../bpf/test_run.ts";
import { createFriends } from "../vectors/friends.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { type Bench, type BenchOptions, median, type Report, type Row } from "./report.ts";

const prefixBytes = 64;
const limitNs = 1000;
/** A look at the clock costs some 2 µs; so many verdicts between two make that nothing. */
const batch = 20_000;
/** The kernel runs each packet so often, and tells whole nanoseconds. */
const repeat = 2000;
/** The kernel waits some 15 ms before it runs a packet more than once. */
const kernelPackets = 20;
/** A kernel before ours takes more steps for the same program; its limit is 1,000,000. */
const instructionLimit = 400_000;

const everyVector = "every vector of the library";

function inputs(): Readonly<Record<string, readonly Uint8Array[]>> {
  const vectors = loadVectors().map(({ protocol, bytes }) => ({ protocol, bytes: bytes.slice(0, prefixBytes) }));
  const of = (protocol: string) => vectors.filter((vector) => vector.protocol === protocol).map(({ bytes }) => bytes);
  const friends = createFriends(1);
  return {
    "friend, random bytes": Array.from({ length: 1000 }, () => friends.next().slice(-prefixBytes)),
    "friend, half of them behind a header": Array.from({ length: 1000 }, () => friends.next().slice(0, prefixBytes)),
    http: of("http"),
    tls: of("tls"),
    text: of("text"),
    [everyVector]: vectors.map(({ bytes }) => bytes),
  };
}

export const matcherBench: Bench = {
  name: "matcher",
  async run({ rounds, say }: BenchOptions): Promise<Report> {
    const { sniff } = loadSniffer("tapetrack");
    const judge = (packets: readonly Uint8Array[]) => {
      let foreign = 0;
      for (let count = 0; count < batch; count++) {
        if (sniff(packets[count % packets.length] ?? packets[0] ?? new Uint8Array(0), false).kind === "foreign")
          foreign++;
      }
      return foreign;
    };
    const libraries = await openLibraries(native);
    using engine = openEngine(libraries, "helpers");
    engine.use(tableBytes());
    const packetsOf = inputs();
    const empty = () => Object.fromEntries(Object.keys(packetsOf).map((name): [string, number[]] => [name, []]));
    const times = empty();
    const kernelTimes = empty();
    /** Of each vector, in the kernel. */
    let least: readonly number[] = [];
    for (let round = 0; round <= rounds; round++) {
      for (const [name, packets] of Object.entries(packetsOf)) {
        const startedUs = cpuUs();
        judge(packets);
        const nsEach = ((cpuUs() - startedUs) * 1000) / batch;
        // The first round is for the compiler.
        if (round === 0) continue;
        times[name]?.push(nsEach);
        const judged = packets.slice(0, name === everyVector ? packets.length : kernelPackets);
        const each = judged.map((bytes) => engine.nanoseconds(bytes, repeat));
        kernelTimes[name]?.push(each.reduce((sum, ns) => sum + ns, 0) / each.length);
        // Other work on the host only adds.
        if (name === everyVector) least = each.map((ns, index) => Math.min(ns, least[index] ?? ns));
      }
      say(`matcher: round ${round} of ${rounds}`);
    }

    const everything = Object.values(packetsOf).flat();
    Bun.gc(true);
    const before = heapStats().heapSize;
    for (let count = 0; count < 20; count++) judge(everything);
    const bytesEach = Math.max(0, heapStats().heapSize - before) / (20 * batch);

    const row = (metric: string, unit: string, limit: number, samples: Row["samples"]): Row => ({
      metric,
      unit,
      better: "lower",
      samples: { ...samples, limit: [limit] },
      targets: Object.keys(samples).map((subject) => ({ subject, reference: "limit", ratio: 1 })),
    });
    return {
      name: "matcher",
      method: [
        `sniff() of the profile tapetrack on the first ${prefixBytes} bytes, ${batch} verdicts a sample, one sample of each kind a round; CPU time of the thread`,
        `kernel: sniff_frame of bpf/inline.bpf.c (BPF_PROG_TEST_RUN, the mean of ${repeat} runs of the same packet), of each kind but the last ${kernelPackets} packets; of each vector the least of all rounds gives their median and the slowest; the test run's own share, some 70 ns, is in it`,
        "memory: growth of the heap over 400,000 verdicts without a collection in between",
      ],
      reference: "limit",
      rows: [
        ...Object.entries(times).map(([name, samples]) =>
          row(`verdict: ${name}`, "ns", limitNs, { ttgate: samples, kernel: kernelTimes[name] ?? [] }),
        ),
        row("verdict: the median of the vectors", "ns", limitNs / 2, { kernel: [median(least)] }),
        row("verdict: the slowest of the vectors", "ns", limitNs, { kernel: [Math.max(...least)] }),
        row("allocated for a verdict", "bytes", 1, { ttgate: [bytesEach] }),
        ...instructionRows(libraries, row),
      ],
    };
  },
};

/** CPU time of this thread, so that other work on the host does not count. */
function cpuUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function tableBytes(): Uint8Array {
  const result = tableOf(loadProfile("tapetrack"));
  if (result.kind === "refused") throw new Error(result.problems.map(({ message }) => message).join("; "));
  return result.table.bytes;
}

type MakeRow = (metric: string, unit: string, limit: number, samples: Row["samples"]) => Row;

function instructionRows(libraries: Libraries, row: MakeRow): Row[] {
  const programs = [
    ["gate_xdp", "helpers", "XDP"],
    ["gate_xdp", "pointers", "XDP before kernel 5.18"],
    ["gate_tc", "helpers", "tc"],
  ] as const;
  return programs.map(([program, reading, hook]) => {
    using object = loadInline(libraries, program, reading);
    const count = verifiedInstructions(libraries, object.programFd(program));
    return row(`the verifier goes through: ${hook}`, "instructions", instructionLimit, { kernel: [count] });
  });
}

if (import.meta.main) {
  const report = await matcherBench.run({ rounds: 9, say: () => undefined });
  for (const { metric, unit, samples } of report.rows) {
    const figures = ["ttgate", "kernel"].flatMap((subject) =>
      samples[subject] === undefined ? [] : [`${subject} ${median(samples[subject]).toFixed(1)} ${unit}`],
    );
    console.log(`${metric}: ${figures.join(", ")}`);
  }
}
