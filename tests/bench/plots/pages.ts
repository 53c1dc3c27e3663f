// SPDX-License-Identifier: Apache-2.0
// docs/performance.md and what belongs to it, made from the baseline: the page of plots, the plots, and the page of
// method and tables.
import { rule } from "../compare.ts";
import { formatReport, machineText, targetResults, type Written } from "../report.ts";
import { Figures } from "./figures.ts";
import { type Section, sections } from "./sections.ts";

/** By path from the root of the repository; what was not measured is left out. */
export async function pagesOf(baseline: readonly Written[]): Promise<Readonly<Record<string, string>>> {
  const figures = new Figures(baseline);
  const shown = sections.filter(({ benches }) => benches.every((bench) => figures.has(bench)));
  const pages: Record<string, string> = {
    "docs/performance.md": plotsPage(shown, figures, baseline),
    "docs/performance/method.md": methodPage(baseline),
  };
  for (const section of shown) pages[`docs/performance/${section.file}.svg`] = await section.draw(figures);
  return pages;
}

function plotsPage(shown: readonly Section[], figures: Figures, baseline: readonly Written[]): string {
  const [first] = baseline;
  const machine = first === undefined ? "" : ` on ${machineText(first.machine)}`;
  const parts = shown.map(
    (section) =>
      `## ${section.title}\n\n${wrapped(section.line(figures))}\n\n![${section.alt}](performance/${section.file}.svg)`,
  );
  return `# Performance

${wrapped(`Measured by \`make bench\`${machine}.`)}

Bars are medians; the line in a bar goes from the least sample to the greatest. Look at ratios: the machine is small and
shared, and yours has other figures. How each figure is made, all tables and how to measure again:
[method.md](performance/method.md).

${parts.join("\n\n")}

## Targets

${targetsText(baseline)}
`;
}

function targetsText(baseline: readonly Written[]): string {
  const all = baseline.flatMap((report) => targetResults(report).map((target) => ({ ...target, bench: report.name })));
  const missed = all.filter(({ reached }) => !reached);
  const lines = missed.map(
    ({ bench, metric, subject, reference, measured, ratio }) =>
      `- ${bench}: ${metric}: ${subject} is ${measured.toFixed(2)} of ${reference}, wanted ${ratio}`,
  );
  const head = `ttgate sets itself ${all.length} targets, and reaches ${all.length - missed.length} of them`;
  return missed.length === 0 ? `${head}.` : `${head}. Missed:\n\n${lines.join("\n")}`;
}

function methodPage(baseline: readonly Written[]): string {
  const seconds = baseline.reduce((sum, report) => sum + report.seconds, 0);
  const parts = baseline.map(
    (report) =>
      `## ${report.name}\n\n${machineText(report.machine)}; ${report.machine.date} UTC, ${report.seconds} s\n\n${formatReport(report)}`,
  );
  return `# How the figures of performance.md are made

\`\`\`
make bench                 # as root: everything; ${Math.ceil(seconds / 60)} minutes for the baseline that is shown here
make bench QUICK=1         # one round of each, without the long ones
make bench ONLY=proxy      # one benchmark
make bench BASELINE=1      # what is measured becomes the baseline: baseline.json and the pages that are made from it
make plots                 # makes the pages from baseline.json
\`\`\`

Everything in one table is measured in one run, in alternating rounds; medians count. "limit" is a target that ttgate
sets itself. Each run writes \`build/bench/NAME.json\` and says what moved since the
[baseline](baseline.json).

${wrapped(rule)}

${parts.join("\n\n")}
`;
}

/** As the other pages are written. */
function wrapped(text: string): string {
  return text.replace(/(.{1,119})(?: |$)/g, "$1\n").trimEnd();
}
