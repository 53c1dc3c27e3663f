// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format 0.0.4.
import type { LatencyHistogram } from "../core/counters.ts";

export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export interface Family {
  readonly type: "gauge" | "counter";
  readonly name: string;
  readonly help: string;
}

export function familyText({ type, name, help }: Family, samples: readonly Sample[]): string {
  return head(type, name, help) + samples.map(([labels, count]) => `${name}${labelText(labels)} ${count}\n`).join("");
}

export function histogramText(name: string, help: string, latency: LatencyHistogram): string {
  const lines = latency.buckets().map(({ boundSeconds, count }) => `${name}_bucket{le="${boundSeconds}"} ${count}\n`);
  const total = `${name}_bucket{le="+Inf"} ${latency.count}\n${name}_sum ${latency.sumSeconds}\n${name}_count ${latency.count}\n`;
  return head("histogram", name, help) + lines.join("") + total;
}

function head(type: string, name: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
