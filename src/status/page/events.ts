// SPDX-License-Identifier: Apache-2.0
// What happened last, a row each.
import { html } from "hono/html";
import { formatDuration } from "../../core/duration.ts";
import { printable } from "../../log.ts";
import type { EventView, RecentEvent } from "../event_view.ts";
import { type Column, type Row, tableOf } from "./table.ts";
import { type Markup, moment, sourceLink } from "./words.ts";

export function eventsSection(events: readonly RecentEvent[]): Markup {
  return html`<section aria-labelledby="events-title"><h2 id="events-title">Recent events</h2>${
    events.length === 0 ? html`<p>Nothing happened yet.</p>` : tableOf("The newest first", columns, events.map(row))
  }</section>`;
}

const columns: readonly Column[] = ["Time (UTC)", "Event", "About", "Details"].map((name) => ({ name }));

function row({ id, event }: RecentEvent): Row {
  const about = "source" in event ? sourceLink(event.source) : event.upstream;
  return { id: `event-${id}`, cells: [moment(event.at), event.type, about, details(event)] };
}

function details(event: EventView): string {
  if (event.type === "upstream") return event.reachable ? "reachable" : `not reachable: ${event.error ?? ""}`;
  if (event.type === "unseen") return event.why;
  const { type, protocol, firstBytes, by, seconds } = event;
  const said = firstBytes === null ? "" : ` “${printable(Uint8Array.fromHex(firstBytes), 24)}”`;
  const length =
    type === "ban" ? (seconds === null ? ", without an end" : `, for ${formatDuration(seconds * 1000)}`) : "";
  return `${protocol}${said}, by ${by}${length}`;
}
