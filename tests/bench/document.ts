// SPDX-License-Identifier: Apache-2.0
// docs/performance.md: what the benchmarks wrote as JSON, as one document.
import { readFile, writeFile } from "node:fs/promises";
import { formatReport, type Machine, type Report } from "./report.ts";

type Written = Report & { readonly machine: Machine };

const head = `# Performance

Written by \`make bench\` (\`tests/bench/main.ts --docs\`). Everything in one table was measured in one run, in
alternating rounds; the figures are medians, and the ratios are what counts: the machine is small and shared, and
another one has other figures. "limit" is a target that ttgate sets itself.
`;

/** @param names of the benchmarks, in the order of the document; those that were not run are left out. */
export async function writeDocument(names: readonly string[]): Promise<void> {
  const sections: string[] = [];
  for (const name of names) {
    const text = await readFile(`build/bench/${name}.json`, "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const report = JSON.parse(text) as Written;
    const { cpu, cpuCount, memoryMiB, kernel, distribution, date } = report.machine;
    const machine = `${cpu}, ${cpuCount} CPUs, ${memoryMiB} MiB; Linux ${kernel}, ${distribution}; ${date} UTC`;
    sections.push(`## ${name}\n\n${machine}\n\n${formatReport(report)}\n`);
  }
  await writeFile("docs/performance.md", `${head}\n${sections.join("\n")}`);
}
