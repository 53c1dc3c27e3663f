// SPDX-License-Identifier: Apache-2.0
// The table of bans: looked through, ordered and paged by the server, so that it needs no script.
import { html } from "hono/html";
import { type BanOrder, type BanQuery, banOrders } from "../../core/bans/search.ts";
import type { BanList } from "../ban_list.ts";
import type { BanView } from "../snapshot.ts";
import { type Markup, moment, number, sourceLink, timeLeft } from "./words.ts";

const orderNames: Readonly<Record<BanOrder, string>> = {
  newest: "newest first",
  oldest: "oldest first",
  ends: "ending soonest first",
  source: "by source",
  protocol: "by protocol",
};

export function bansSection(query: BanQuery, list: BanList): Markup {
  return html`<section id="bans" aria-labelledby="bans-title"><h2 id="bans-title">Bans</h2>
<form role="search" method="get" action="/#bans" data-keep>
<label>Source, CIDR, protocol or origin <input type="search" name="q" value="${query.search}" maxlength="100" autocomplete="off" spellcheck="false"></label>
<label>Order <select name="sort">${banOrders.map(
    (order) => html`<option value="${order}"${order === query.order ? " selected" : ""}>${orderNames[order]}</option>`,
  )}</select></label>
<button>Search</button>
</form>
<p id="bans-count">${countText(query, list)}</p>
${list.bans.length === 0 ? "" : table(query, list.bans)}
${pager(query, list)}
</section>`;
}

function countText({ search }: BanQuery, { total, matching }: BanList): string {
  if (total === 0) return "Nobody is banned.";
  if (search === "") return `${number(total)} ${total === 1 ? "source is" : "sources are"} banned.`;
  return `${number(matching)} of ${number(total)} bans match “${search}”.`;
}

/** The roles stand beside the elements: on a narrow screen the rows are no table to a browser any more. */
function table({ order }: BanQuery, bans: readonly BanView[]): Markup {
  return html`<table role="table" class="rows bans"><caption>Banned sources, ${orderNames[order]}</caption>
<thead role="rowgroup"><tr role="row">${["Source", "Protocol", "By", "Since (UTC)", "Time left", "Packets dropped"].map(
    (name) => html`<th role="columnheader" scope="col">${name}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">${bans.map(row)}</tbody></table>`;
}

/** Nothing between two rows: the page's script would take a row away to match the space after it. */
function row({ source, protocol, claims, since, remainingSeconds, packets }: BanView): Markup {
  const by = claims.map(({ origin }) => origin).join(", ");
  return html`<tr role="row" id="ban-${source}"><th role="rowheader" scope="row">${sourceLink(source)}</th>
<td role="cell" data-name="Protocol">${protocol}</td><td role="cell" data-name="By">${by}</td>
<td role="cell" data-name="Since">${moment(since)}</td><td role="cell" data-name="Left">${timeLeft(remainingSeconds)}</td>
<td role="cell" data-name="Dropped" class="number">${packets === null ? "–" : number(packets)}</td></tr>`;
}

function pager(query: BanQuery, { matching }: BanList): Markup | string {
  const { offset, limit } = query;
  if (matching <= limit && offset === 0) return "";
  const last = Math.max(0, Math.floor((matching - 1) / limit)) * limit;
  const pages = last / limit + 1;
  const page = Math.floor(offset / limit) + 1;
  return html`<nav aria-label="Pages of bans">${link("First", 0, offset > 0, query)}${link("Previous", Math.max(0, offset - limit), offset > 0, query)}
<span>Page ${number(page)} of ${number(pages)}</span>
${link("Next", offset + limit, offset + limit < matching, query)}${link("Last", last, offset < last, query)}</nav>`;
}

function link(name: string, offset: number, isThere: boolean, { search, order }: BanQuery): Markup {
  if (!isThere) return html`<span class="off">${name}</span>`;
  const parameters = new URLSearchParams({ ...(search === "" ? {} : { q: search }), sort: order, offset: `${offset}` });
  return html`<a href="/?${parameters.toString()}#bans">${name}</a>`;
}
