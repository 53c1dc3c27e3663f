// SPDX-License-Identifier: Apache-2.0
// The table of bans: looked through, ordered and paged by the server, so that it needs no script.
import { html } from "hono/html";
import { type BanOrder, type BanQuery, banOrders } from "../../core/bans/search.ts";
import type { BanList } from "../ban_list.ts";
import type { BanView } from "../snapshot.ts";
import { type Column, type Row, tableOf } from "./table.ts";
import { type Markup, moment, number, sourceLink, timeLeft } from "./words.ts";

const orderNames: Readonly<Record<BanOrder, string>> = {
  newest: "newest first",
  oldest: "oldest first",
  left: "ending soonest first",
  packets: "most dropped first",
  source: "by source",
  protocol: "by protocol",
};

/** @param isOfGates there are several, so that it matters which one saw a source, and where that is kept out. */
export function bansSection(query: BanQuery, list: BanList, isOfGates: boolean): Markup {
  const shown = isOfGates ? [...columns, gateColumn] : columns;
  return html`<section id="bans" aria-labelledby="bans-title"><h2 id="bans-title">Bans</h2>
<form role="search" method="get" action="/#bans" data-keep>
<label>Source, CIDR, protocol or origin <input type="search" name="q" value="${query.search}" maxlength="100" autocomplete="off" spellcheck="false"></label>
<label>Order <select name="sort">${banOrders.map(
    (order) => html`<option value="${order}"${order === query.order ? " selected" : ""}>${orderNames[order]}</option>`,
  )}</select></label>
<button>Search</button>
</form>
<p id="bans-count">${countText(query, list)}</p>
${
  list.bans.length === 0
    ? ""
    : tableOf(
        `Banned sources, ${orderNames[query.order]}`,
        shown,
        list.bans.map((ban) => row(ban, isOfGates)),
      )
}
${pager(query, list)}
</section>`;
}

function countText({ search }: BanQuery, { total, matching }: BanList): string {
  if (total === 0) return "Nobody is banned.";
  if (search === "") return `${number(total)} ${total === 1 ? "source is" : "sources are"} banned.`;
  return `${number(matching)} of ${number(total)} bans match “${search}”.`;
}

const columns: readonly Column[] = [
  { name: "Source" },
  { name: "Protocol" },
  { name: "By" },
  { name: "Since (UTC)", short: "Since" },
  { name: "Time left", short: "Left" },
  { name: "Packets dropped", short: "Dropped", isNumber: true },
];

const gateColumn: Column = { name: "Seen by gate", short: "Gate" };

function row(ban: BanView, isOfGates: boolean): Row {
  const { source, protocol, claims, since, remainingSeconds, packets } = ban;
  const by = claims.map(({ origin }) => origin).join(", ");
  const dropped = packets === null ? "–" : number(packets);
  return {
    id: `ban-${source}`,
    cells: [
      sourceLink(source),
      protocol,
      by,
      moment(since),
      timeLeft(remainingSeconds),
      dropped,
      ...(isOfGates ? [gateText(ban)] : []),
    ],
  };
}

/** A gate that keeps its bans to itself is the only one that refuses the source. */
function gateText({ gate, scope }: BanView): string {
  if (gate === null) return "none";
  return scope === "gate" ? `${gate}, refused there alone` : gate;
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
