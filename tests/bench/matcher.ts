// SPDX-License-Identifier: Apache-2.0
// The matcher: time and memory for one verdict on a 64-byte prefix, with the full library.
import { heapStats } from "bun:jsc";
import process from "node:process";
import { loadSniffer } from "../../src/profile.ts";
import { createFriends } from "../vectors/friends.ts";
import { loadVectors } from "../vectors/vectors.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const prefixBytes = 64;
const limitNs = 1000;
/** A clock read costs some 30 ns; so many verdicts between two make that nothing. */
const batch = 20_000;

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
    "every vector of the library": vectors.map(({ bytes }) => bytes),
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
    const packetsOf = inputs();
    const times: Record<string, number[]> = Object.fromEntries(Object.keys(packetsOf).map((name) => [name, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const [name, packets] of Object.entries(packetsOf)) {
        const startedNs = process.hrtime.bigint();
        judge(packets);
        const nsEach = Number(process.hrtime.bigint() - startedNs) / batch;
        // The first round is for the compiler.
        if (round > 0) times[name]?.push(nsEach);
      }
      say(`matcher: round ${round} of ${rounds}`);
    }

    const everything = Object.values(packetsOf).flat();
    Bun.gc(true);
    const before = heapStats().heapSize;
    for (let count = 0; count < 20; count++) judge(everything);
    const bytesEach = Math.max(0, heapStats().heapSize - before) / (20 * batch);

    const row = (metric: string, unit: string, limit: number, samples: readonly number[]): Row => ({
      metric,
      unit,
      better: "lower",
      samples: { ttgate: samples, limit: [limit] },
      targets: [{ subject: "ttgate", reference: "limit", ratio: 1 }],
    });
    return {
      name: "matcher",
      method: [
        `sniff() of the profile tapetrack on the first ${prefixBytes} bytes, ${batch} verdicts a sample, one sample of each kind a round`,
        "memory: growth of the heap over 400,000 verdicts without a collection in between",
      ],
      reference: "limit",
      rows: [
        ...Object.entries(times).map(([name, samples]) => row(`verdict: ${name}`, "ns", limitNs, samples)),
        row("allocated for a verdict", "bytes", 1, [bytesEach]),
      ],
    };
  },
};

if (import.meta.main) {
  const report = await matcherBench.run({ rounds: 9, say: () => undefined });
  for (const { metric, unit, samples } of report.rows) {
    const sorted = [...(samples["ttgate"] ?? [])].sort((a, b) => a - b);
    console.log(`${metric}: ${sorted[sorted.length >> 1]?.toFixed(1)} ${unit}`);
  }
}
