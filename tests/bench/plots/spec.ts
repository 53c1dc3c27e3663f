// SPDX-License-Identifier: Apache-2.0
// The kinds of plots, as Vega-Lite: bars side by side, lines over a growing number. A subject has the same colour in
// all of them, told apart by people who see fewer colours too.
import { parse, resetSVGDefIds, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { median } from "../report.ts";
import type { Figures } from "./figures.ts";

const colours: Readonly<Record<string, string>> = {
  ttgate: "#0969da",
  "ttgate by tc": "#6cb0ff",
  inline: "#0969da",
  "new profile": "#0969da",
  asked: "#0969da",
  kernel: "#0b3d91",
  haproxy: "#d4761c",
  nginx: "#2e8b57",
  "bare Bun": "#9a6bd0",
  "no gate": "#8c959f",
  direct: "#8c959f",
  "no program": "#8c959f",
};
const otherColour = "#b8bec5";

export interface Wanted {
  readonly bench: string;
  readonly metric: string;
  /** In place of the metric. */
  readonly title?: string;
  readonly subjects: readonly string[];
}

const style = {
  background: "white",
  font: "Helvetica, Arial, sans-serif",
  axis: {
    labelFontSize: 11,
    titleFontSize: 11,
    titleFontWeight: "normal",
    gridColor: "#e5e8eb",
    tickCount: 4,
    labelLimit: 400,
  },
  title: { fontSize: 12, anchor: "start", frame: "group", limit: 600 },
  legend: { labelFontSize: 11, title: null },
  concat: { spacing: 24 },
  view: { stroke: null },
} as const;

/** A panel for each metric, in it a bar for each subject: the median, and from the least sample to the greatest. */
export function bars(
  figures: Figures,
  wanted: readonly Wanted[],
  { columns, width }: { readonly columns: number; readonly width: number },
): Promise<string> {
  const panels = wanted.map(({ bench, metric, title, subjects }) => ({
    title: `${title ?? metric}, ${figures.row(bench, metric).unit}`,
    width,
    height: { step: 20 },
    data: { values: subjects.map((subject) => barOf(subject, figures.samples(bench, metric, subject))) },
    encoding: { y: { field: "subject", type: "nominal", sort: [...subjects], title: null } },
    layer: [
      {
        mark: { type: "bar", height: 14 },
        encoding: { x: { field: "value", ...amount }, color: { ...colourOf(subjects), legend: null } },
      },
      {
        mark: { type: "rule", color: "#24292f" },
        encoding: { x: { field: "low", ...amount }, x2: { field: "high" } },
      },
    ],
  }));
  return drawn({ concat: panels, columns, resolve: independent });
}

function barOf(subject: string, samples: readonly number[]) {
  return { subject, value: median(samples), low: Math.min(...samples), high: Math.max(...samples) };
}

export interface Part {
  readonly panel: string;
  readonly subject: string;
  readonly part: string;
  readonly value: number;
}

/** For each subject a bar of parts, one behind the other. */
export function stacks(parts: readonly Part[], x: string): Promise<string> {
  const kinds = valuesOf(parts, "part");
  const panels = valuesOf(parts, "panel").map((panel) => ({
    title: panel,
    width: 620,
    height: { step: 26 },
    data: { values: parts.filter((one) => one.panel === panel) },
    mark: { type: "bar", height: 20 },
    encoding: {
      y: { field: "subject", type: "nominal", sort: valuesOf(parts, "subject"), title: null },
      x: { field: "value", type: "quantitative", title: x },
      color: { field: "part", type: "nominal", sort: kinds, scale: { domain: kinds, scheme: "tableau20" } },
    },
  }));
  return drawn({ concat: panels, columns: 1 });
}

export interface Point {
  readonly panel: string;
  readonly subject: string;
  readonly x: number | string;
  readonly value: number;
}

export interface LineOptions {
  readonly columns: number;
  readonly width: number;
  /** Of the values. */
  readonly isLog: boolean;
  /** What the points stand over. */
  readonly x: string;
}

/** A panel for each metric, in it a line for each subject. */
export function lines(points: readonly Point[], { columns, width, isLog, x }: LineOptions): Promise<string> {
  const subjects = valuesOf(points, "subject");
  const panels = valuesOf(points, "panel").map((panel) => ({
    title: panel,
    width,
    height: Math.round(width * 0.5),
    data: { values: points.filter((point) => point.panel === panel) },
    mark: { type: "line", point: true },
    encoding: {
      x:
        typeof points[0]?.x === "number"
          ? decades(x)
          : { field: "x", type: "ordinal", sort: null, title: x, axis: { labelAngle: 0 } },
      y: { field: "value", ...amount, scale: { type: isLog ? "log" : "linear" } },
      color: { ...colourOf(subjects), ...(subjects.length > 1 ? {} : { legend: null }) },
    },
  }));
  return drawn({ concat: panels, columns });
}

/** 12k and 0.5, not 12000 and 500m. */
const labelExpr = "abs(datum.value) < 1 ? format(datum.value, '~g') : format(datum.value, '~s')";
const amount = { type: "quantitative", title: null, axis: { labelExpr } } as const;
const independent = { scale: { x: "independent", y: "independent", color: "independent" } } as const;

function decades(title: string) {
  const axis = { format: "~s", values: [1e3, 1e4, 1e5, 1e6] };
  return { field: "x", type: "quantitative", scale: { type: "log" }, title, axis };
}

function colourOf(subjects: readonly string[]) {
  const range = subjects.map((subject) => colours[subject] ?? otherColour);
  return { field: "subject", type: "nominal", sort: [...subjects], scale: { domain: [...subjects], range } };
}

function valuesOf<K extends string>(all: readonly Readonly<Record<K, string>>[], key: K): string[] {
  return [...new Set(all.map((one) => one[key]))];
}

/** The same figures give the same text. */
async function drawn(spec: object): Promise<string> {
  resetSVGDefIds();
  const whole = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config: style, ...spec };
  const view = new View(parse(compile(whole as unknown as TopLevelSpec).spec), { renderer: "none" });
  return `${await view.toSVG()}\n`;
}
