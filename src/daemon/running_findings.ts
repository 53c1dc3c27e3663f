// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of the gate that runs here already: why it is not ready, in its own words.
import type { Finding } from "./finding.ts";

export interface RunningGate {
  readonly pid: number;
  /** Of its /readyz; none: it is ready. */
  readonly reasons: readonly string[];
  /** What it tells besides: it is ready all the same. */
  readonly notes: readonly string[];
}

export function runningFindings(gates: readonly RunningGate[]): Finding[] {
  const name = "running gate";
  const remedy = "the reason says it; docs/troubleshooting.md has each";
  return gates.flatMap(({ pid, reasons, notes }): Finding[] => {
    const ready: Finding = { name, state: "good", found: `pid ${pid} is ready`, remedy: null };
    return [
      ...(reasons.length === 0 ? [ready] : []),
      ...reasons.map((reason) => ({ name, state: "bad" as const, found: `pid ${pid}: ${reason}`, remedy })),
      ...notes.map((note) => ({ name, state: "warning" as const, found: `pid ${pid}: ${note}`, remedy })),
    ];
  });
}
