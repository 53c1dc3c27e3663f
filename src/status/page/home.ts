// SPDX-License-Identifier: Apache-2.0
// `GET /`: everything that is going on, on one page.
import { html } from "hono/html";
import type { BanQuery } from "../../core/bans/search.ts";
import { formatDuration } from "../../core/duration.ts";
import type { Work } from "../../core/work.ts";
import { type BanRows, wholeList } from "../ban_list.ts";
import type { RecentEvent } from "../event_view.ts";
import { fencesOf, type GateView, gatesOf } from "../gates.ts";
import type { PastQuery, PastView } from "../past.ts";
import type { KernelSnapshot, Snapshot } from "../snapshot.ts";
import { bansSection } from "./bans.ts";
import { chartsOf } from "./charts.ts";
import { eventsSection } from "./events.ts";
import { listsSection } from "./lists.ts";
import { type Column, type Row, tableOf } from "./table.ts";
import { bytes, type Markup, mark, moment, number, term } from "./words.ts";

/** What the page asks of the daemon. */
export interface HomeSource {
  bans(query: BanQuery): Work<BanRows>;
  history(query: PastQuery): PastView;
  /** The newest first. */
  recentEvents(count: number): readonly RecentEvent[];
}

type Upstream = GateView["upstreams"][number];

const eventsShown = 15;
const hourMinutes = 60;
const dayMinutes = 24 * 60;

/** Section by section: the relay has its turn in between. */
export function* homeOf(source: HomeSource, snapshot: Snapshot, query: BanQuery): Work<Markup> {
  const list = yield* wholeList(source.bans(query));
  const hour = source.history({ step: "minute", count: hourMinutes });
  const day = source.history({ step: "minute", count: dayMinutes });
  yield;
  const charts = chartsOf({ hour, day });
  yield;
  const bans = bansSection(query, list, gatesOf(snapshot).length > 1);
  yield;
  return html`${heading(snapshot)}
${figures(snapshot)}
${charts}
<div class="columns">${gates(snapshot)}${fences(snapshot)}${protocols(snapshot)}</div>
${listsSection(snapshot)}
${bans}
${eventsSection(source.recentEvents(eventsShown))}
<footer><nav aria-label="Interfaces"><a href="/metrics">Metrics</a> <a href="/status">Status</a> <a href="/readyz">Readiness</a>
<a href="/bans">Bans</a> <a href="/history">History</a> <a href="/talkers">Talkers</a> <a href="/events">Events</a></nav></footer>`;
}

function heading({ host, version, runtime, uptimeSeconds, since, dryRun, pid }: Snapshot): Markup {
  return html`<header><h1>ttgate on ${host}</h1>
<p>Version ${version}, ${runtime}, process ${pid}, up ${formatDuration(uptimeSeconds * 1000)} since ${moment(since)} UTC${dryRun ? html`. <strong>Dry run: nobody is banned</strong>` : ""}</p>
<label id="live-label" hidden data-keep><input type="checkbox" id="live" checked> Live</label></header>`;
}

function figures({ connections, bans, kernel }: Snapshot): Markup {
  const shown: readonly (readonly [string, number | string])[] = [
    ["Open connections", connections.active],
    ["Accepted", connections.accepted],
    ["Relayed", connections.relayed],
    ["Foreign", connections.foreign],
    ["Undecided", connections.undecided],
    ["Refused while banned", connections.refusedBanned],
    ["Over a limit", connections.refusedFull + connections.refusedRate],
    ["Spared", connections.spared],
    ["Cut by a ban", connections.cut],
    ["No upstream", connections.upstreamFailed],
    ["Banned now", bans.active],
    ["Bans in all", bans.total],
    ["Packets dropped", kernel.droppedPackets],
    ["Bytes dropped", bytes(kernel.droppedBytes)],
  ];
  return html`<section aria-labelledby="figures-title"><h2 id="figures-title">Since the start</h2>
<dl class="figures">${shown.map(([name, value]) => term(name, typeof value === "number" ? number(value) : value))}</dl></section>`;
}

function gates(snapshot: Snapshot): Markup {
  return html`<section aria-labelledby="gates-title"><h2 id="gates-title">Gates</h2>${gatesOf(snapshot).map(gate)}</section>`;
}

function gate({
  name,
  listen,
  mode,
  profile,
  balance,
  upstreams,
  proxyProtocol,
  connections,
  trial,
}: GateView): Markup {
  return html`<article><h3>${name}: ${listen}</h3><dl>${term("Profile", profile)}${term("Mode", mode)}
${term("Connections", `${number(connections.active)} of ${number(connections.limit)}`)}
${term("Order of upstreams", upstreams.length > 1 ? balance : undefined)}
${term("PROXY protocol", proxyWords(proxyProtocol))}
${term("Trial", trial?.text)}</dl>
${tableOf(`${mode === "inline" ? "Server" : "Upstreams"} of ${listen}`, upstreamColumns, upstreams.map(upstreamRow))}</article>`;
}

const upstreamColumns: readonly Column[] = [
  { name: "Address" },
  { name: "Health" },
  { name: "Failed", isNumber: true },
  { name: "Open", isNumber: true },
];

function upstreamRow({ address, reachable, error, active, failed, resolved, unresolved }: Upstream): Row {
  const where = [address, ...(resolved === null ? [] : [`(${resolved})`]), unresolved ?? ""].join(" ");
  const health =
    reachable === null ? "not tried yet" : mark(reachable, reachable ? "reachable" : `not reachable: ${error ?? ""}`);
  return { cells: [where, health, number(failed), number(active)] };
}

function proxyWords({ send, accept }: GateView["proxyProtocol"]): string | undefined {
  const told = [
    ...(send === "off" ? [] : [`${send} to the upstream`]),
    ...(accept.length === 0 ? [] : [`from ${accept.join(", ")}`]),
  ];
  return told.length === 0 ? undefined : told.join("; ");
}

function fences(snapshot: Snapshot): Markup {
  const all = fencesOf(snapshot);
  return html`<section aria-labelledby="fences-title"><h2 id="fences-title">Fences</h2>${
    all.length === 0 ? html`<p>None: ${snapshot.kernel.reason ?? "no block map"}</p>` : all.map(fence)
  }</section>`;
}

function fence({ fence, map, ports, interfaces, maps, proof, managedBy, unseen, reason }: KernelSnapshot): Markup {
  const guarded = ports === "all" ? "all ports" : `port ${ports.join(", ")}`;
  return html`<article><h3>${map ?? ""}</h3><dl>${term("Guards", guarded)}
${term("By", fence ?? undefined)}
${term("Proof", proof === null ? "none" : proof.passed ? mark(true, "passed") : mark(false, `failed: ${proof.failure ?? ""}`))}
${term("Read by", managedBy ?? undefined)}
${maps.map(({ name, entries, capacity }) => term("Map", `${name.split("/").at(-1) ?? name}: ${number(entries)} of ${number(capacity)} entries`))}
${unseen === null ? "" : term("Unseen", unseen.unobserved ?? `${number(unseen.connections)} connections`)}</dl>
${
  interfaces.length === 0
    ? html`<p>No interface: ${reason ?? ""}</p>`
    : tableOf(
        `Interfaces of ${map ?? ""}`,
        interfaceColumns,
        interfaces.map(({ name, attach, reason: why }) => ({
          cells: [name, mark(attach !== "none", attach), why ?? ""],
        })),
      )
}</article>`;
}

const interfaceColumns: readonly Column[] = ["Interface", "Attached", "Why"].map((name) => ({ name }));

function protocols({ bans }: Snapshot): Markup {
  const counts = Object.entries(bans.byProtocol).sort(([, a], [, b]) => b - a);
  const most = Math.max(1, ...counts.map(([, count]) => count));
  return html`<section aria-labelledby="protocols-title"><h2 id="protocols-title">Bans by protocol</h2>${
    counts.length === 0
      ? html`<p>None since the start.</p>`
      : html`<table class="counted"><caption>Bans since the start</caption>
<thead><tr><th scope="col">Protocol</th><th scope="col">Bans</th><th scope="col"><span class="unseen">Share</span></th></tr></thead>
<tbody>${counts.map(
          ([
            protocol,
            count,
          ]) => html`<tr id="protocol-${protocol}"><th scope="row">${protocol}</th><td class="number">${number(count)}</td>
<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><path class="area" d="M0 0H${Math.max(1, Math.round((count / most) * 100))}V10H0Z"/></svg></td></tr>`,
        )}</tbody></table>`
  }</section>`;
}
