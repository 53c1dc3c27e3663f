// SPDX-License-Identifier: Apache-2.0
// The lists that are followed (--blocklist), a row each: how old what holds is, and why nothing newer does.
import { html } from "hono/html";
import { formatDuration } from "../../core/duration.ts";
import type { Snapshot } from "../snapshot.ts";
import { type Column, type Row, tableOf } from "./table.ts";
import { type Markup, mark, number } from "./words.ts";

type List = Snapshot["blocklists"][number];

/** Nothing where none is followed. */
export function listsSection({ blocklists }: Snapshot): Markup | string {
  if (blocklists.length === 0) return "";
  return html`<section aria-labelledby="lists-title"><h2 id="lists-title">Lists</h2>
${tableOf("Lists that are followed", columns, blocklists.map(row))}</section>`;
}

const columns: readonly Column[] = [
  { name: "List" },
  { name: "From" },
  { name: "Entries", isNumber: true },
  { name: "Not banned" },
  { name: "Read" },
  { name: "Changed" },
  { name: "State" },
];

function row(list: List): Row {
  const { name, source, entries, ageSeconds, unchangedSeconds, error } = list;
  const read = ageSeconds === null ? "not yet" : `${formatDuration(ageSeconds * 1000)} ago`;
  const changed = unchangedSeconds === null ? "" : `${formatDuration(unchangedSeconds * 1000)} ago`;
  const state = error === null ? mark(true, "up to date") : mark(false, error);
  const isWaiting = error === null && ageSeconds === null;
  return {
    id: `list-${name}`,
    cells: [name, source, number(entries), left(list), read, changed, isWaiting ? "" : state],
  };
}

/** Entries and lines that ban nobody, and why. */
function left({ refused, neverBanned, noRoom, lifted }: List): string {
  const counts: readonly (readonly [number, string])[] = [
    [refused, "refused"],
    [neverBanned, "never banned"],
    [noRoom, "without room"],
    [lifted, "lifted by hand"],
  ];
  const told = counts.filter(([count]) => count > 0).map(([count, why]) => `${number(count)} ${why}`);
  return told.join(", ");
}
