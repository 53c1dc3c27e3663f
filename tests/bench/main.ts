// SPDX-License-Identifier: Apache-2.0
// `make bench`: runs the benchmarks one after the other, prints their tables and writes their JSON.
// --only NAME runs one, --docs writes docs/performance.md from the JSON that is there, --strict makes a
// missed target exit code 1.
import process from "node:process";
import { parseArgs } from "node:util";
import { bansBench } from "./bans.ts";
import { writeDocument } from "./document.ts";
import { floodsBench } from "./floods.ts";
import { inlineCostBench } from "./inline_cost.ts";
import { inlineFloodBench } from "./inline_flood.ts";
import { inlineGateBench } from "./inline_gate.ts";
import { inlinePathBench } from "./inline_path.ts";
import { matcherBench } from "./matcher.ts";
import { memoryBench } from "./memory.ts";
import { packetCostBench } from "./packet_cost.ts";
import { packetPathBench } from "./packet_path.ts";
import { proxyBench } from "./proxy.ts";
import { type Bench, formatReport, targetResults, thisMachine, writeReport } from "./report.ts";
import { statusBench } from "./status.ts";
import { verdictBench } from "./verdict.ts";

const benches: readonly Bench[] = [
  proxyBench,
  packetCostBench,
  packetPathBench,
  bansBench,
  memoryBench,
  matcherBench,
  verdictBench,
  inlineCostBench,
  inlinePathBench,
  inlineFloodBench,
  inlineGateBench,
  floodsBench,
  statusBench,
];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    docs: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`Cannot run the benchmark "--rounds ${values.rounds}": not a positive number; try --rounds 5`);
  process.exit(2);
}

const machine = await thisMachine();
console.log(
  `${machine.cpu}, ${machine.cpuCount} CPUs, ${machine.memoryMiB} MiB; Linux ${machine.kernel}, ${machine.distribution}; ${machine.date} UTC`,
);

const say = (line: string) => process.stderr.write(`${line}\n`);
let missed = false;
for (const bench of benches) {
  if (values.only !== undefined && values.only !== bench.name) continue;
  const report = await bench.run({ rounds, say });
  const path = await writeReport(report, machine);
  console.log(`\n## ${bench.name}\n\n${formatReport(report)}\n\n${path}`);
  missed ||= targetResults(report).some((target) => !target.reached);
}
if (values.docs) await writeDocument(benches.map(({ name }) => name));
process.exit(missed && values.strict ? 1 : 0);
