// SPDX-License-Identifier: Apache-2.0
// docs/performance/baseline.json: what was measured last on a quiet machine. The pages of docs/performance are made
// from it, and later runs are compared with it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Row, Written } from "./report.ts";

const path = join(import.meta.dirname, "../../docs/performance/baseline.json");

/** Empty without one. */
export function readBaseline(): readonly Written[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as readonly Written[]) : [];
}

/**
 * @param reports the first of a name counts.
 * @param names of all benchmarks, in their order.
 */
export function writeBaseline(reports: readonly Written[], names: readonly string[]): void {
  const kept = names.flatMap((name) => reports.find((report) => report.name === name) ?? []);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    `${JSON.stringify(
      kept.map((report) => ({ ...report, rows: report.rows.map(rounded) })),
      undefined,
      1,
    )}\n`,
  );
}

/** Four digits: no measurement is more exact. */
function rounded(row: Row): Row {
  const samples = Object.entries(row.samples).map(([subject, all]) => [
    subject,
    all.map((one) => Number(one.toPrecision(4))),
  ]);
  return { ...row, samples: Object.fromEntries(samples) };
}
