// SPDX-License-Identifier: Apache-2.0
// What a benchmark hands back, and how it is shown: medians of samples per subject, ratios to one
// reference subject, targets that were reached or missed; as a table, and as JSON under build/bench/.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { arch, cpus, loadavg, release, totalmem } from "node:os";

/** One quantity, measured for every subject in alternating rounds. */
export interface Row {
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Samples by subject, in the order of the columns; the median counts. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** What the ratio of two medians must be: at least `ratio` when higher is better, else at most. */
  readonly targets?: readonly Target[];
}

export interface Target {
  readonly subject: string;
  readonly reference: string;
  readonly ratio: number;
}

export interface Report {
  readonly name: string;
  /** How it was measured: enough to do it again. */
  readonly method: readonly string[];
  /** Every ratio in the table is to this subject. */
  readonly reference: string;
  readonly rows: readonly Row[];
}

export interface BenchOptions {
  /** How often each subject is measured; odd, so that the median is a sample. */
  readonly rounds: number;
  /** Progress, a line at a time. */
  readonly say: (line: string) => void;
}

export interface Bench {
  /** Names the JSON file. */
  readonly name: string;
  run(options: BenchOptions): Promise<Report>;
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface TargetResult extends Target {
  readonly metric: string;
  readonly measured: number;
  readonly reached: boolean;
}

export function targetResults(report: Report): TargetResult[] {
  const measurable = (row: Row) =>
    (row.targets ?? []).filter((target) => row.samples[target.subject] && row.samples[target.reference]);
  return report.rows.flatMap((row) =>
    measurable(row).map((target) => {
      const measured = median(row.samples[target.subject] ?? []) / median(row.samples[target.reference] ?? []);
      const reached = row.better === "higher" ? measured >= target.ratio : measured <= target.ratio;
      return { ...target, metric: row.metric, measured, reached };
    }),
  );
}

/** A figure with three significant digits and thousands set apart. */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return "-";
  return value.toLocaleString("en-GB", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 6 : 3 });
}

/** The table in Markdown, so that it reads in a terminal and in a document. */
export function formatReport(report: Report): string {
  const subjects = [...new Set(report.rows.flatMap((row) => Object.keys(row.samples)))];
  const others = subjects.filter((subject) => subject !== report.reference);
  const header = ["", ...subjects, ...others.map((subject) => `${subject} / ${report.reference}`), "spread"];
  const lines = report.rows.map((row) => {
    const medians = new Map(subjects.map((subject) => [subject, median(row.samples[subject] ?? [])]));
    const reference = medians.get(report.reference) ?? Number.NaN;
    return [
      `${row.metric} (${row.unit})`,
      ...subjects.map((subject) => formatFigure(medians.get(subject) ?? Number.NaN)),
      ...others.map((subject) => ((medians.get(subject) ?? Number.NaN) / reference).toFixed(2).replace("NaN", "-")),
      spread(row),
    ];
  });
  const verdicts = targetResults(report).map(
    (target) =>
      `${target.reached ? "reached" : "MISSED "}  ${target.metric}: ${target.subject} / ${target.reference} = ${target.measured.toFixed(2)}, wanted ${target.ratio}`,
  );
  return [markdownTable([header, ...lines]), "", ...verdicts, "", ...report.method.map((line) => `- ${line}`)].join(
    "\n",
  );
}

/** Of the subject that varied most: half of the samples are this close to their median. */
function spread(row: Row): string {
  const worst = Object.values(row.samples).map((samples) => {
    const middle = median(samples);
    return median(samples.map((sample) => Math.abs(sample - middle))) / middle;
  });
  return `±${(Math.max(0, ...worst.filter(Number.isFinite)) * 100).toFixed(0)} %`;
}

function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const text = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return `| ${cells.join(" | ")} |`;
  });
  const rule = `|${widths.map((width, column) => (column === 0 ? ":".padEnd(width + 2, "-") : ":".padStart(width + 2, "-"))).join("|")}|`;
  return [text[0], rule, ...text.slice(1)].join("\n");
}

export interface Machine {
  readonly date: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cpuCount: number;
  readonly memoryMiB: number;
  readonly distribution: string;
  /** What else it had to do: the load of the minute before. */
  readonly load: number;
}

export async function thisMachine(): Promise<Machine> {
  const osRelease = await readFile("/etc/os-release", "utf8").catch(() => "");
  return {
    date: new Date().toISOString().slice(0, 19).replace("T", " "),
    kernel: `${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cpuCount: cpus().length,
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? "unknown",
    load: loadavg()[0] ?? Number.NaN,
  };
}

export function machineText({ cpu, cpuCount, memoryMiB, kernel, distribution, load }: Machine): string {
  return `${cpu}, ${cpuCount} CPUs, ${memoryMiB} MiB, load ${load.toFixed(1)}, Linux ${kernel}, ${distribution}`;
}

/** As it stands in `build/bench/NAME.json`, and in the baseline. */
export interface Written extends Report {
  readonly machine: Machine;
  /** How long the measurement took. */
  readonly seconds: number;
}

/** Writes `build/bench/NAME.json`. @returns the path. */
export async function writeReport(report: Written): Promise<string> {
  const path = `build/bench/${report.name}.json`;
  await mkdir("build/bench", { recursive: true });
  await writeFile(path, `${JSON.stringify(report, undefined, 2)}\n`);
  return path;
}
