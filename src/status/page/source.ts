// SPDX-License-Identifier: Apache-2.0
// `GET /source/ADDR`: all that is known of one source, as `ttgate why` tells it, and what can be done.
import { html } from "hono/html";
import { refusalText } from "../../core/bans/refusal.ts";
import { betWords } from "../../core/profile/explain.ts";
import type { BanDetails, EvidenceView, Why } from "../snapshot.ts";
import { eventsSection } from "./events.ts";
import { type Column, tableOf } from "./table.ts";
import { bytes, type Markup, moment, number, sourceLink, term, timeLeft } from "./words.ts";

/** @param needsToken for changes. */
export function sourceOf(why: Why, needsToken: boolean): Markup {
  const { address, source, ban, neverBanned, kernel, connections, offender, undecided, lately, within } = why;
  return html`<header><h1>${address}</h1><p><a href="/">All of ttgate</a> <a href="/why/${encodeURIComponent(address)}">JSON</a></p></header>
<section aria-labelledby="known-title"><h2 id="known-title">${ban === null ? "Not banned" : `Banned: ${ban.protocol}`}</h2>
<dl class="known">${source === address ? "" : term("Source", sourceLink(source))}
${ban === null ? "" : banTerms(ban, address)}
${term("Never banned", neverBanned === null ? undefined : `${neverBanned.prefix} (${neverBanned.why})`)}
${term("Banned lately", offender === null ? undefined : `${offender.bans} times`)}
${within === null ? "" : term("Bans inside", html`<a href="/?q=${encodeURIComponent(address)}#bans">${number(within.total)}</a>`)}
${term("Folded into", kernel.fold === null ? undefined : `${kernel.fold}: the map is full, so one prefix blocks dense neighbours`)}
${term("The live program says", kernel.answer ?? "no program to ask")}
${term("Open connections", number(connections))}
${term("Undecided in ten minutes", undecided === 0 ? undefined : number(undecided))}</dl></section>
${ban === null ? "" : html`${evidence(ban.evidence)}${claims(ban)}`}
${lately.length === 0 ? "" : eventsSection(lately.map((event, id) => ({ id, event })))}
${actions(why, needsToken)}`;
}

function banTerms(
  { source, since, until, remainingSeconds, by, refused, packets, bytes: dropped, lastSeen }: BanDetails,
  address: string,
): Markup {
  return html`${source === address ? "" : term("Ban of", sourceLink(source))}
${term("By", by)}${term("Since (UTC)", moment(since))}
${term("Until (UTC)", until === null ? "without an end" : moment(until))}
${term("Time left", timeLeft(remainingSeconds))}
${term("Kept out", refusalText(refused))}
${term("Dropped", packets === null ? undefined : `${number(packets)} packets, ${bytes(dropped ?? 0)}`)}
${term("Last seen (UTC)", lastSeen === null ? undefined : moment(lastSeen))}`;
}

function evidence(shown: EvidenceView | null): Markup {
  if (shown === null)
    return html`<section aria-labelledby="said-title"><h2 id="said-title">First bytes</h2><p>None are kept.</p></section>`;
  const { client, port, firstBytesHex, firstBytesText, bet } = shown;
  return html`<section aria-labelledby="said-title"><h2 id="said-title">First bytes</h2>
<p>From ${client} to port ${port}${bet === undefined ? "" : `: ${betWords(bet)}`}</p>
<p class="said">${firstBytesText}</p>
<pre tabindex="0" aria-label="First bytes in hexadecimal">${hexDump(Uint8Array.fromHex(firstBytesHex))}</pre></section>`;
}

/** Eight bytes a line: it fits the narrowest screen. */
function hexDump(all: Uint8Array): string {
  const lines: string[] = [];
  for (let start = 0; start < all.length; start += 8) {
    const part = all.subarray(start, start + 8);
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = [...part].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${start.toString(16).padStart(2, "0")}  ${hex.padEnd(23)}  ${text}`);
  }
  return lines.join("\n");
}

const claimColumns: readonly Column[] = [
  { name: "By" },
  { name: "Protocol" },
  { name: "Since (UTC)", short: "Since" },
  { name: "Until (UTC)", short: "Until" },
];

function claims({ claims: all }: BanDetails): Markup {
  const rows = all.map(({ origin, protocol, since, until }) => ({
    cells: [origin, protocol, moment(since), until === null ? "without an end" : moment(until)],
  }));
  return html`<section aria-labelledby="claims-title"><h2 id="claims-title">Who wants it banned</h2>
${tableOf("Claims, the one that ends last first", claimColumns, rows)}</section>`;
}

function actions({ address, source, ban }: Why, needsToken: boolean): Markup {
  const target = ban?.source ?? source;
  return html`<section aria-labelledby="actions-title"><h2 id="actions-title">Change</h2>
<p>On the host: <code>ttgate ban ${address} --for 1h</code>${ban === null ? "" : html`, <code>ttgate lift ${target}</code>`}</p>
<form id="change" data-source="${target}" data-address="${address}" hidden data-keep>
${needsToken ? html`<label>The gate's token <input type="password" name="token" autocomplete="off" required></label>` : ""}
<label>Ban for <input name="for" value="1h" size="6" autocomplete="off" spellcheck="false" aria-describedby="for-hint"></label>
<span id="for-hint" class="hint">30s, 10m, 1h30m, 7d or ever; a shorter time does not shorten a ban</span>
<button name="do" value="ban">${ban === null ? "Ban" : "Extend"}</button>
${ban === null ? "" : html`<button name="do" value="lift">Lift</button>`}
<output role="status"></output></form></section>`;
}
