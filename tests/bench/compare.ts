// SPDX-License-Identifier: Apache-2.0
// What moved since the baseline. Machines differ, and one machine from day to day: so a figure is taken relative to
// the reference of its table, round by round, where that was measured too.
import { formatFigure, median, type Report, type Row } from "./report.ts";

/** Closer medians are the same, whatever the samples say. */
const leastChange = 0.05;
/** So few samples say nothing of how far apart they lie. */
const fewSamples = 3;
const leastChangeOfFew = 0.25;

export const rule = `A figure has moved when the median of each run lies outside of all samples of the other, and the two differ by more than ${leastChange * 100} %, or ${leastChangeOfFew * 100} % where a run has fewer than ${fewSamples} samples. Compared are ratios to the reference of the table, round by round; the figures themselves where it has none.`;

export interface Move {
  readonly bench: string;
  readonly metric: string;
  readonly subject: string;
  /** Medians of what is compared. */
  readonly before: number;
  readonly after: number;
  readonly isBetter: boolean;
}

export function movesBetween(before: readonly Report[], after: readonly Report[]): Move[] {
  return after.flatMap((report) => {
    const known = before.find(({ name }) => name === report.name);
    return report.rows.flatMap((row) => {
      const earlier = known?.rows.find(({ metric }) => metric === row.metric);
      return earlier === undefined ? [] : movesOf(report, row, earlier);
    });
  });
}

function movesOf({ name, reference }: Report, row: Row, earlier: Row): Move[] {
  // A limit is no measurement: what is compared with it is compared as it is.
  return Object.keys(row.samples).flatMap((subject) => {
    if (subject === "limit" || (subject === reference && Object.keys(row.samples).length > 1)) return [];
    const isRelative = reference !== "limit" && reference in row.samples && reference in earlier.samples;
    const [now, then] = [row, earlier].map(({ samples }) =>
      isRelative ? ratios(samples[subject] ?? [], samples[reference] ?? []) : (samples[subject] ?? []),
    ) as [readonly number[], readonly number[]];
    if (!isMoved(then, now)) return [];
    const [was, is] = [median(then), median(now)];
    return [
      {
        bench: name,
        metric: row.metric,
        subject,
        before: was,
        after: is,
        isBetter: is > was === (row.better === "higher"),
      },
    ];
  });
}

function ratios(samples: readonly number[], reference: readonly number[]): number[] {
  const usual = median(reference);
  return samples.map((sample, round) => sample / (reference[round] ?? usual)).filter(Number.isFinite);
}

function isMoved(before: readonly number[], after: readonly number[]): boolean {
  if (before.length === 0 || after.length === 0) return false;
  const [was, is] = [median(before), median(after)];
  const least = Math.min(before.length, after.length) < fewSamples ? leastChangeOfFew : leastChange;
  return isOutside(is, before) && isOutside(was, after) && Math.abs(is - was) > least * Math.abs(was);
}

function isOutside(value: number, samples: readonly number[]): boolean {
  return value < Math.min(...samples) || value > Math.max(...samples);
}

export function comparedWith(baseline: readonly Report[], measured: readonly Report[]): string {
  if (baseline.length === 0) return "There is no baseline to compare with: make bench BASELINE=1";
  const moves = movesBetween(baseline, measured);
  const lines = moves.map(({ bench, metric, subject, before, after, isBetter }) => {
    const percent = Math.round((after / before - 1) * 100);
    return `${isBetter ? "better" : "WORSE "}  ${bench}: ${metric}: ${subject} ${formatFigure(before)} -> ${formatFigure(after)} (${percent > 0 ? "+" : ""}${percent} %)`;
  });
  return [
    `Since the baseline ${moves.length === 0 ? "nothing has" : `${moves.length} figures have`} moved. ${rule}`,
    ...lines,
  ].join("\n");
}
