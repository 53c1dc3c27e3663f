// SPDX-License-Identifier: Apache-2.0
// `make bench`: runs the benchmarks one after the other, prints their tables, writes their JSON and says what moved
// since the baseline. --only NAME runs one, --quick each with one round and without the long ones, --baseline makes
// what was measured the baseline, --strict makes a missed target exit code 1.
import process from "node:process";
import { parseArgs } from "node:util";
import { bansBench } from "./bans.ts";
import { readBaseline, writeBaseline } from "./baseline.ts";
import { comparedWith } from "./compare.ts";
import { floodsBench } from "./floods.ts";
import { growthBench } from "./growth.ts";
import { inlineCostBench } from "./inline_cost.ts";
import { inlineFloodBench } from "./inline_flood.ts";
import { inlineGateBench } from "./inline_gate.ts";
import { inlinePathBench } from "./inline_path.ts";
import { matcherBench } from "./matcher.ts";
import { memoryBench } from "./memory.ts";
import { packetCostBench } from "./packet_cost.ts";
import { packetPathBench } from "./packet_path.ts";
import { proxyBench } from "./proxy.ts";
import { reloadBench } from "./reload.ts";
import {
  type Bench,
  formatReport,
  machineText,
  targetResults,
  thisMachine,
  type Written,
  writeReport,
} from "./report.ts";
import { socketCallsBench } from "./socket_calls.ts";
import { statusBench } from "./status.ts";
import { verdictBench } from "./verdict.ts";

const benches: readonly Bench[] = [
  proxyBench,
  socketCallsBench,
  packetCostBench,
  packetPathBench,
  growthBench,
  bansBench,
  memoryBench,
  reloadBench,
  matcherBench,
  verdictBench,
  inlineCostBench,
  inlinePathBench,
  inlineFloodBench,
  inlineGateBench,
  floodsBench,
  statusBench,
];

/** Left out by --quick. */
const slow: ReadonlySet<string> = new Set(["verdict", "status", "inline_flood", "inline_gate", "packet_path"]);

const { values } = parseArgs({
  options: {
    rounds: { type: "string" },
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    baseline: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`Cannot run the benchmark "--rounds ${values.rounds}": not a positive number; try --rounds 5`);
  process.exit(2);
}

const machine = await thisMachine();
console.log(`${machineText(machine)}; ${machine.date} UTC`);

const say = (line: string) => process.stderr.write(`${line}\n`);
const isWanted = ({ name }: Bench) =>
  values.only === undefined ? !values.quick || !slow.has(name) : values.only === name;
const baseline = readBaseline();
const measured: Written[] = [];
let failed = false;
for (const bench of benches.filter(isWanted)) {
  try {
    measured.push(await measure(bench));
  } catch (error) {
    // The others are worth their time all the same.
    console.error(`Cannot measure "${bench.name}":`, error);
    failed = true;
  }
}
console.log(`\n${comparedWith(baseline, measured)}`);
if (values.baseline) {
  writeBaseline(
    [...measured, ...baseline],
    benches.map(({ name }) => name),
  );
}
const missed = measured.flatMap(targetResults).some(({ reached }) => !reached);
process.exit(failed || (missed && values.strict) ? 1 : 0);

async function measure(bench: Bench): Promise<Written> {
  const startMs = performance.now();
  const report = await bench.run({ rounds, say });
  const written: Written = { machine, seconds: Math.round((performance.now() - startMs) / 1000), ...report };
  const path = await writeReport(written);
  console.log(`\n## ${bench.name}\n\n${formatReport(report)}\n\n${path}, ${written.seconds} s`);
  return written;
}
