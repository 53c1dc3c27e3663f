// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of the gate that runs here already: why it is not ready, in its own words.
import type { Finding } from "./finding.ts";

export interface RunningGate {
  readonly pid: number;
  /** Of its /readyz; none: it is ready. */
  readonly reasons: readonly string[];
}

export function runningFindings(gates: readonly RunningGate[]): Finding[] {
  return gates.flatMap(({ pid, reasons }): Finding[] => {
    const ready: Finding = { name: "running gate", state: "good", found: `pid ${pid} is ready`, remedy: null };
    if (reasons.length === 0) return [ready];
    const remedy = "the reason says it; docs/troubleshooting.md has each";
    return reasons.map((reason) => ({ name: "running gate", state: "bad", found: `pid ${pid}: ${reason}`, remedy }));
  });
}
