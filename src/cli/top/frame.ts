// SPDX-License-Identifier: Apache-2.0
// `ttgate top` as lines of text: for a terminal of a given size, or plain and whole. What comes from the network
// drives no terminal. Pure.
import { formatDuration } from "../../core/duration.ts";
import type { CounterName } from "../../core/history.ts";
import { oneLine } from "../../log.ts";
import { fencesOf, gatesOf } from "../../status/gates.ts";
import type { BanView } from "../../status/snapshot.ts";
import type { Desk } from "./desk.ts";
import type { Picture } from "./picture.ts";
import { type Paint, plain } from "./style.ts";

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  readonly paint: Paint;
}

/** Rates are of so many seconds: one alone jumps. */
const rateSeconds = 5;
/** The last of them drawn. */
const sparkSeconds = 15;

const rates: readonly (readonly [name: string, counter: CounterName])[] = [
  ["accepted", "accepted"],
  ["relayed", "relayed"],
  ["foreign", "foreign"],
  ["undecided", "undecided"],
  ["refused", "refusedBanned"],
  ["bans", "bans"],
  ["dropped packets", "droppedPackets"],
  ["dropped bytes", "droppedBytes"],
];

const keysHelp = [
  "q          quit",
  "s          next order of the bans: newest, oldest, left, packets, source, protocol",
  "/          filter by source, CIDR, protocol or origin; Escape takes it off",
  "up, down   choose a ban (also k, j)",
  "l          lift the chosen ban",
  "p, space   stand still, go on",
];

/** Everything, without an end to the lines: for a pipe. */
export function plainFrame(picture: Picture, desk: Desk): string[] {
  const { bans } = picture.bans;
  return [
    ...head(picture, plain),
    "",
    ...ratesTable(picture),
    "",
    bansTitle(picture, desk),
    ...bansTable(bans),
    "",
    ...talkers(picture, Number.POSITIVE_INFINITY),
  ].map((line) => oneLine(line).trimEnd());
}

/** As many lines as the screen has rows. @param trouble why the picture is an old one. */
export function screenFrame(picture: Picture, desk: Desk, screen: Screen, trouble: string | undefined): string[] {
  const { rows, columns, paint } = screen;
  const top = [...head(picture, paint, trouble), "", ...ratesTable(picture), ""];
  const talking = talkers(picture, Math.max(1, Math.floor(rows / 5)));
  const left = rows - top.length - talking.length - 4;
  const room = Math.max(3, left);
  const [header = "", ...lines] = bansTable(picture.bans.bans.slice(0, room));
  const body =
    desk.mode === "help"
      ? keysHelp
      : [
          paint.bold(cut(bansTitle(picture, desk), columns)),
          `  ${header}`,
          ...lines.map((line, index) => chosenLine(line, picture.bans.bans[index], desk, screen)),
          ...Array.from({ length: Math.max(0, room - lines.length) }, () => ""),
          ...(left >= 3 ? ["", ...talking] : []),
        ];
  const all = [...top, ...body].slice(0, rows - 1);
  while (all.length < rows - 1) all.push("");
  return [...all.map((line) => cut(line, columns)), cut(footer(desk, paint), columns)];
}

function chosenLine(line: string, ban: BanView | undefined, desk: Desk, { columns, paint }: Screen): string {
  const isChosen = ban !== undefined && ban.source === desk.chosen;
  return isChosen ? paint.chosen(cut(`> ${line}`, columns)) : `  ${line}`;
}

function head({ status, readiness }: Picture, paint: Paint, trouble?: string): string[] {
  const { host, version, uptimeSeconds, connections, bans } = status;
  const state =
    trouble !== undefined
      ? paint.bad(`no answer: ${trouble}`)
      : readiness.ready
        ? paint.good("ready")
        : paint.bad(`not ready: ${readiness.reasons.join("; ")}`);
  return [
    `${paint.bold(`ttgate on ${host}`)}  ${state}`,
    `version ${version}, up ${formatDuration(uptimeSeconds * 1000)}, ${connections.active} connections, ${bans.active} banned${status.dryRun ? ", dry run" : ""}`,
    ...gatesOf(status).map(({ listen, profile, mode, upstreams, connections: { active, limit }, trial }) => {
      const servers = upstreams.map(({ address, reachable, error, active: open }) => {
        const health = reachable === null ? "not tried" : reachable ? paint.good("up") : paint.bad(`down (${error})`);
        return `${address} ${health} ${open}`;
      });
      return `gate   ${listen} ${profile} ${mode}, ${active} of ${limit} open, ${mode === "inline" ? "server" : "upstream"} ${servers.join(", ")}${trial?.state === "observing" ? ", on trial: bans nobody" : ""}`;
    }),
    ...fenceLines(status, paint),
  ];
}

function fenceLines(status: Picture["status"], paint: Paint): string[] {
  const fences = fencesOf(status);
  if (fences.length === 0) return [`fence  none: ${status.kernel.reason}`];
  return fences.map(({ map, interfaces, proof, entries, capacity, managedBy }) => {
    const where = interfaces.map(
      ({ name, attach }) => `${name} ${attach === "none" ? paint.bad(attach) : paint.good(attach)}`,
    );
    const proven = proof === null ? "" : proof.passed ? ", proven" : `, ${paint.bad(`WRONG: ${proof.failure}`)}`;
    const by = managedBy === null ? where.join(", ") || "no interface" : `read by ${managedBy}`;
    return `fence  ${map}: ${by}${proven}, ${entries} of ${capacity} entries`;
  });
}

function ratesTable({ history }: Picture): string[] {
  return inPairs(
    rates.map(([name, counter]) => {
      const values = history.series[counter];
      const recent = values.slice(-rateSeconds).filter((value) => value !== null);
      const mean = recent.reduce((sum, value) => sum + value, 0) / Math.max(1, recent.length);
      return `${name.padEnd(16)}${short(mean).padStart(7)}/s ${spark(values.slice(-sparkSeconds))}`;
    }),
  );
}

/** Two beside one another fit 80 columns. */
function inPairs(cells: readonly string[]): string[] {
  const half = Math.ceil(cells.length / 2);
  return cells.slice(0, half).map((cell, index) => `${cell.padEnd(44)}${cells[half + index] ?? ""}`);
}

/** 0.2, 12, 3.4k */
function short(value: number): string {
  const units = ["", "k", "M", "G", "T"];
  let power = 0;
  let rest = value;
  while (rest >= 1000 && power < units.length - 1) {
    rest /= 1000;
    power++;
  }
  return `${rest >= 100 || rest === 0 ? rest.toFixed(0) : rest.toFixed(1)}${units[power]}`;
}

function spark(values: readonly (number | null)[]): string {
  const bars = "▁▂▃▄▅▆▇█";
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  return values.map((value) => (value === null ? " " : (bars[Math.round((value / most) * 7)] ?? " "))).join("");
}

function bansTitle({ bans: { total, banned } }: Picture, { order, search, isPaused }: Desk): string {
  const filter = search === "" ? "" : `, ${total} match "${search}"`;
  return `BANS ${banned}${filter}, ${order} first${isPaused ? ", standing still" : ""}`.replace(
    /(source|protocol) first/,
    "by $1",
  );
}

function bansTable(bans: readonly BanView[]): string[] {
  const rows = bans.map(({ source, protocol, claims, remainingSeconds, packets }) => [
    source,
    protocol,
    claims.map(({ origin }) => origin).join(","),
    remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000),
    packets === null ? "-" : `${packets}`,
  ]);
  return aligned([["SOURCE", "PROTOCOL", "BY", "LEFT", "DROPPED"], ...rows]);
}

function talkers({ talkers: { connections, dropped } }: Picture, most: number): string[] {
  const open = aligned([
    ["MOST CONNECTIONS", "OPEN"],
    ...connections.slice(0, most).map(({ source, connections: count }) => [source, `${count}`]),
  ]);
  const blocked = aligned([
    ["MOST DROPPED", "PACKETS"],
    ...dropped.slice(0, most).map(({ source, packets }) => [source, `${packets}`]),
  ]);
  const width = Math.max(40, ...open.map((line) => line.length + 2));
  return Array.from(
    { length: Math.max(open.length, blocked.length) },
    (_, index) => `${(open[index] ?? "").padEnd(width)}${blocked[index] ?? ""}`,
  );
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => oneLine(cell).padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function footer({ mode, typed, chosen, message }: Desk, paint: Paint): string {
  switch (mode) {
    case "filter":
      return `Filter: ${typed}_`;
    case "lift":
      return paint.bold(`Lift the ban of ${chosen}? y, any other key for no`);
    case "help":
      return "Any key goes back";
    case "list":
      return message === "" ? "q quit  s order  / filter  arrows choose  l lift  p pause  ? help" : paint.bold(message);
    default:
      return mode satisfies never;
  }
}

/** A colour of `style.ts`, or one character. */
const pieces = new RegExp(`${String.fromCharCode(0x1b)}\\[\\d*m|[\\s\\S]`, "gu");

/** To a width, not counting colours; whatever else would drive the terminal becomes visible. */
export function cut(line: string, columns: number): string {
  let width = 0;
  let shown = "";
  for (const [piece] of line.matchAll(pieces)) {
    const isColour = piece.length > 2;
    if (isColour) shown += piece;
    else if (width < columns) {
      const visible = oneLine(piece);
      shown += visible;
      width += visible.length;
    }
  }
  return shown;
}
