// SPDX-License-Identifier: Apache-2.0
// The last hour and the last day as drawings that need no script: a line of steps for each series, and in words
// what it comes to. The values stand beside the lines, for the script to read out where the pointer is.
import { html } from "hono/html";
import type { CounterName, GaugeName } from "../../core/history.ts";
import type { PastView } from "../past.ts";
import { type Markup, number } from "./words.ts";

interface Line {
  readonly name: string;
  readonly of: CounterName | GaugeName;
}

interface Chart {
  readonly id: string;
  readonly title: string;
  /** A gauge is told as it is, a counter as what was added. */
  readonly kind: "counter" | "gauge";
  readonly lines: readonly Line[];
}

const charts: readonly Chart[] = [
  {
    id: "connections",
    title: "Connections",
    kind: "counter",
    lines: [{ name: "accepted", of: "accepted" }],
  },
  {
    id: "verdicts",
    title: "Verdicts",
    kind: "counter",
    lines: [
      { name: "relayed", of: "relayed" },
      { name: "foreign", of: "foreign" },
      { name: "undecided", of: "undecided" },
    ],
  },
  { id: "bans", title: "Active bans", kind: "gauge", lines: [{ name: "banned", of: "activeBans" }] },
  {
    id: "drops",
    title: "Packets dropped by the kernel",
    kind: "counter",
    lines: [{ name: "dropped", of: "droppedPackets" }],
  },
];

/** Both by the minute: the last hour, and the last day in pieces of a quarter of an hour. */
export interface Pasts {
  readonly hour: PastView;
  readonly day: PastView;
}

const quarter = 15;

export function chartsOf({ hour, day }: Pasts): Markup {
  return html`<section aria-labelledby="charts-title"><h2 id="charts-title">Last hour and day</h2>
<div class="charts">${charts.map(
    (chart) => html`<figure id="chart-${chart.id}">
<figcaption><b>${chart.title}</b>${chart.lines.length > 1 ? legend(chart) : ""}</figcaption>
<div class="pair">${drawing(chart, hour, 1)}${drawing(chart, day, quarter)}</div>
</figure>`,
  )}</div></section>`;
}

function legend({ lines }: Chart): Markup {
  return html` ${lines.map(
    ({ name }, index) =>
      html`<span class="key"><svg viewBox="0 0 24 4" aria-hidden="true"><path class="line l${index}" d="M0 2H24"/></svg> ${name}</span> `,
  )}`;
}

function drawing({ title, kind, lines }: Chart, { series, until, stepSeconds }: PastView, minutes: number): Markup {
  const drawn = lines.map(({ name, of }) => ({ name, values: joined(series[of], minutes, kind) }));
  const slots = drawn[0]?.values.length ?? 0;
  const most = Math.max(1, ...drawn.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const span = minutes === 1 ? "hour" : "day";
  const told = drawn.map(({ name, values }) => inWords(name, values, kind)).join(", ");
  return html`<div class="drawing">
<p class="most">${number(Math.round(most))}${kind === "gauge" ? "" : minutes === 1 ? " a minute" : ` in ${minutes} min`} <span class="read" data-keep></span></p>
<svg role="img" data-until="${until}" data-step="${stepSeconds * minutes}" aria-label="${title}, last ${span}: ${told}" viewBox="0 0 ${slots} 100" preserveAspectRatio="none">
<path class="grid" d="M0 4H${slots}M0 52H${slots}M0 100H${slots}"/>${drawn.map(
    ({ name, values }, index) =>
      html`${drawn.length === 1 ? html`<path class="area" d="${area(values, most)}"/>` : ""}<path class="line l${index}" data-name="${name}" data-values="${values.map((value) => (value === null ? "" : Math.round(value))).join()}" d="${steps(values, most)}"/>`,
  )}<path class="cursor" data-keep /></svg>
<p class="scale"><span>${span === "hour" ? "60 min ago" : "24 h ago"}</span><span>now</span></p>
<p class="told">Last ${span}: ${told}</p>
</div>`;
}

/** Several slots as one. */
function joined(values: readonly (number | null)[], count: number, kind: Chart["kind"]): readonly (number | null)[] {
  if (count === 1) return values;
  const pieces: (number | null)[] = [];
  for (let start = 0; start < values.length; start += count) {
    const known = values.slice(start, start + count).filter((value) => value !== null);
    const sum = known.reduce((total, value) => total + value, 0);
    pieces.push(known.length === 0 ? null : kind === "gauge" ? (known.at(-1) ?? 0) : sum);
  }
  return pieces;
}

function inWords(name: string, values: readonly (number | null)[], kind: Chart["kind"]): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name} not known yet`;
  if (kind === "gauge") return `${number(known.at(-1) ?? 0)} ${name} now, at most ${number(Math.max(...known))}`;
  return `${number(Math.round(known.reduce((total, value) => total + value, 0)))} ${name}`;
}

function height(value: number, most: number): number {
  return Math.round(100 - (value / most) * 96);
}

/** A level for each slot; a gap where nothing is known. */
function steps(values: readonly (number | null)[], most: number): string {
  let isDown = false;
  return values
    .map((value, slot) => {
      if (value === null) {
        isDown = false;
        return "";
      }
      const move = isDown ? `V${height(value, most)}` : `M${slot} ${height(value, most)}`;
      isDown = true;
      return `${move}H${slot + 1}`;
    })
    .join("");
}

function area(values: readonly (number | null)[], most: number): string {
  return values
    .map((value, slot) => (value === null || value === 0 ? "" : `M${slot} 100V${height(value, most)}H${slot + 1}V100Z`))
    .join("");
}
