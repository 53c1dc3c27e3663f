// SPDX-License-Identifier: Apache-2.0
// Prints docs/metrics.md: every metric that src/status/metrics.ts has, from what it renders.
import process from "node:process";
import { renderMetrics } from "../../src/status/metrics.ts";
import { fullSnapshot, someLatency } from "./full_snapshot.ts";
import { type Family, parsePrometheus } from "./prometheus.ts";

/** Labels with a fixed set of values; the others name what is there: an interface, a protocol. */
const closed = new Set(["outcome"]);

const head = `# Metrics

\`GET /metrics\` of the status endpoint, in Prometheus' text format. Names, types and labels are a contract. Counters begin
at zero when ttgate starts. A metric is left out where there is nothing to count: without a kernel that judges, without a
recording.

    scrape_configs:
      - job_name: ttgate
        static_configs:
          - targets: [127.0.0.1:9500]

An endpoint that is not on loopback wants the token to be read too: \`authorization: {credentials_file: FILE}\`.

[contrib/prometheus/ttgate.rules.yml](../contrib/prometheus/ttgate.rules.yml) has alerts,
[contrib/grafana/ttgate.json](../contrib/grafana/ttgate.json) a dashboard. \`make test-systems\` loads both into a real
Prometheus and has each alert fire.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
`;

export function metricsDoc(): string {
  const families = parsePrometheus(renderMetrics(fullSnapshot, someLatency(), true));
  const rows = families.map(
    (family) => `| \`${family.name}\` | ${family.type} | ${labelsOf(family)} | ${family.help.replaceAll("|", "\\|")} |`,
  );
  return `${head}${rows.join("\n")}\n`;
}

function labelsOf({ samples }: Family): string {
  const values = new Map<string, Set<string>>();
  for (const { labels } of samples) {
    for (const [name, value] of Object.entries(labels)) values.set(name, (values.get(name) ?? new Set()).add(value));
  }
  return [...values]
    .map(([name, found]) => (closed.has(name) ? `\`${name}\`: ${[...found].join(", ")}` : `\`${name}\``))
    .join("; ");
}

if (import.meta.main) process.stdout.write(metricsDoc());
