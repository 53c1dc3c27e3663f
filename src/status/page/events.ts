// SPDX-License-Identifier: Apache-2.0
// What happened last, a row each.
import { html } from "hono/html";
import { formatDuration } from "../../core/duration.ts";
import { printable } from "../../log.ts";
import type { EventView, RecentEvent } from "../event_view.ts";
import { type Markup, moment, sourceLink } from "./words.ts";

export function eventsSection(events: readonly RecentEvent[]): Markup {
  return html`<section aria-labelledby="events-title"><h2 id="events-title">Recent events</h2>${
    events.length === 0 ? html`<p>Nothing happened yet.</p>` : table(events)
  }</section>`;
}

function table(events: readonly RecentEvent[]): Markup {
  return html`<table role="table" class="rows events"><caption>The newest first</caption>
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Time (UTC)</th><th role="columnheader" scope="col">Event</th>
<th role="columnheader" scope="col">About</th><th role="columnheader" scope="col">Details</th></tr></thead>
<tbody role="rowgroup">${events.map(
    ({
      id,
      event,
    }) => html`<tr role="row" id="event-${id}"><td role="cell">${moment(event.at)}</td><td role="cell">${event.type}</td>
<td role="cell">${"source" in event ? sourceLink(event.source) : event.upstream}</td><td role="cell">${details(event)}</td></tr>`,
  )}</tbody></table>`;
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
