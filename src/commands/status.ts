// SPDX-License-Identifier: Apache-2.0
// `ttgate status`: what the gate is doing now.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { formatDuration } from "../core/duration.ts";
import type { GateSnapshot } from "../status/gate_snapshot.ts";
import type { Snapshot } from "../status/snapshot.ts";

export const status: Command = daemonCommand({
  name: "status",
  about: "what the gate is doing now",
  description: "Shows what the gate is doing now.",
  async run({ daemon, json }, { stdout }) {
    const reply = await daemon.ask("GET", "/status");
    if (reply.status !== 200) throw refusal(reply, 3);
    const snapshot = reply.body as Snapshot;
    stdout.line(json ? JSON.stringify(snapshot) : rendered(snapshot));
    return 0;
  },
});

type Row = readonly [string, string];

function rendered(snapshot: Snapshot): string {
  const { bans, kernel, gates } = snapshot;
  const isOne = gates.length === 1;
  const protocols = Object.entries(bans.byProtocol).map(([protocol, count]) => `${protocol} ${count}`);
  const about = `up ${formatDuration(snapshot.uptimeSeconds * 1000)}, pid ${snapshot.pid}, ${snapshot.version}${snapshot.dryRun ? ", dry run" : ""}`;
  const rows: Row[] = [
    ...(isOne ? [] : [["process", about] as const]),
    ...gates.flatMap((gate) => gateRows(gate, isOne ? about : undefined)),
    ["bans", `${bans.active} now, ${bans.total} in all${protocols.length === 0 ? "" : `: ${protocols.join(", ")}`}`],
    ["kernel", kernelText(kernel)],
    ...gates.flatMap(proxies),
    ...pressure(bans),
    ...sparedFriends(bans),
    ...judged(kernel),
    ...unseen(kernel),
    ...blocklists(snapshot.blocklists),
    ["dropped", `${kernel.droppedPackets} packets, ${kernel.droppedBytes} bytes`],
    ...gates.flatMap(({ recording }) => recordingRow(recording)),
    ...fleetRow(snapshot.fleet),
    ...crowdsecRow(snapshot.crowdsec),
    ["never banned", snapshot.neverBan.map(({ prefix, why }) => `${prefix} (${why})`).join(", ") || "nobody"],
  ];
  return rows.map(([name, text]) => `${name.padEnd(13)} ${text}`).join("\n");
}

/** @param about the process, where it has this one gate. */
function gateRows(
  { name, mode, listen, profile, banScope, upstreams, connections, trial }: GateSnapshot,
  about?: string,
): Row[] {
  const servers = upstreams.map(({ address, reachable, error, unresolved }) => {
    const state = reachable === null ? "not tried yet" : reachable ? "reachable" : `not reachable: ${error}`;
    return `${address} (${unresolved === null ? state : `${state}; its name does not resolve: ${unresolved}`})`;
  });
  const which = about ?? `"${name}", ${mode}${banScope === "gate" ? ", its bans hold here alone" : ""}`;
  return [
    ["gate", `${listen} for ${profile}, ${which}`],
    [mode === "inline" ? "server" : "upstream", servers.join(", ")],
    ["connections", `${connections.accepted} accepted, ${connections.relayed} relayed, ${connections.active} open`],
    [
      "turned away",
      `${connections.foreign} foreign, ${connections.refusedBanned} banned before, ${connections.undecided} undecided, ${connections.refusedFull} over the limit, ${connections.refusedRate} too fast, ${connections.upstreamFailed} without upstream`,
    ],
    ...(trial === null ? [] : [["trial", trial.text] as const]),
  ];
}

function blocklists(lists: Snapshot["blocklists"]): Row[] {
  return lists.map((list) => {
    const { name, source, entries, refused, neverBanned, noRoom, lifted, ageSeconds, unchangedSeconds, error } = list;
    const counts = [
      `${entries} entries`,
      ...(refused === 0 ? [] : [`${refused} lines refused`]),
      ...(neverBanned === 0 ? [] : [`${neverBanned} never banned`]),
      ...(noRoom === 0 ? [] : [`${noRoom} without room`]),
      ...(lifted === 0 ? [] : [`${lifted} lifted by hand`]),
    ];
    const read = ageSeconds === null ? "not read yet" : `read ${formatDuration(ageSeconds * 1000)} ago`;
    const changed = unchangedSeconds === null ? "" : `, changed ${formatDuration(unchangedSeconds * 1000)} ago`;
    return [
      `list ${name}`,
      `${counts.join(", ")}, ${read}${changed}, from ${source}${error === null ? "" : `; ${error}`}`,
    ];
  });
}

/** Proxies in front, whose packets hide the clients from the kernel. */
function proxies({ proxyProtocol: { accept }, connections }: GateSnapshot): (readonly [string, string])[] {
  if (accept.length === 0) return [];
  const missing = connections.withoutHeader === 0 ? "" : `; ${connections.withoutHeader} connections without header`;
  return [["proxies", `${accept.join(", ")}: bans of their clients hold in user space${missing}`]];
}

function sparedFriends({ sparedFriends }: Snapshot["bans"]): (readonly [string, string])[] {
  return sparedFriends === 0 ? [] : [["spared", `${sparedFriends} times for friendly connections`]];
}

/** What the kernel did on first bytes; most counts are left out while they are zero. */
function judged({ judged }: Snapshot["kernel"]): (readonly [string, string])[] {
  if (judged === null) return [];
  const words: Readonly<Record<string, string>> = {
    wouldBan: "would be banned",
    notBanned: "left to user space",
    noSocket: "without a connection",
    fragment: "in fragments",
    unread: "behind too many headers",
    urgent: "with an urgent byte",
    mptcp: "with MPTCP",
    eventsLost: "not reported",
  };
  const told = Object.entries(judged)
    .filter(([outcome, count]) => count > 0 || outcome === "passed" || outcome === "banned")
    .map(([outcome, count]) => `${count} ${words[outcome] ?? outcome}`);
  return [["judged", told.join(", ")]];
}

/** Connections that got by the kernel's program, and where nobody looks for them, why. */
function unseen({ unseen }: Snapshot["kernel"]): (readonly [string, string])[] {
  if (unseen === null) return [];
  const { connections, unobserved, last } = unseen;
  if (unobserved !== null) return [["unseen", `not counted: ${unobserved}`]];
  if (last === null) return [];
  const by = last.interface === null ? "" : ` by interface "${last.interface}"`;
  return [
    ["unseen", `${connections} connections, the last from ${last.source} port ${last.sourcePort}${by}: ${last.why}`],
  ];
}

function fleetRow(fleet: Snapshot["fleet"]): (readonly [string, string])[] {
  if (fleet === null) return [];
  const { name, gate, state, peers, troubles } = fleet;
  const held = peers.reduce((sum, peer) => sum + peer.held, 0);
  const trouble = troubles.map((text) => `; ${text}`).join("");
  return [["fleet", `${state} "${name}" as ${gate}, ${held} bans from ${peers.length} other gates${trouble}`]];
}

function crowdsecRow(crowdsec: Snapshot["crowdsec"]): (readonly [string, string])[] {
  if (crowdsec === null) return [];
  const { url, state, decisions, refused, push, troubles } = crowdsec;
  const others = refused.scope === 0 ? "" : `, ${refused.scope} decisions on countries or AS numbers left out`;
  const told = push === null ? "" : `; ${push.pushed} bans pushed as ${push.machine}, ${push.waiting} waiting`;
  const trouble = troubles.map((text) => `; ${text}`).join("");
  return [["crowdsec", `${state} ${url}, ${decisions} sources banned there${others}${told}${trouble}`]];
}

function recordingRow(recording: Snapshot["recording"]): (readonly [string, string])[] {
  if (recording === null) return [];
  const { file, connections, dropped, bytes, ended } = recording;
  const state = ended === null ? "" : `; ended: ${ended}`;
  return [["recording", `${connections} connections, ${dropped} not recorded, ${bytes} bytes in ${file}${state}`]];
}

function kernelText(kernel: Snapshot["kernel"]): string {
  if (kernel.map === null) return `off: ${kernel.reason}`;
  const maps = kernel.maps.filter(({ entries }, index) => index === 0 || entries > 0);
  const room = maps.map(({ name, entries, capacity }) => `map ${name}: ${entries} of ${capacity} entries`).join(", ");
  if (kernel.managedBy !== null) return `${room}, read by ${kernel.managedBy}`;
  const interfaces = kernel.interfaces.map(
    ({ name, attach, reason }) => `${name} ${attach}${reason === null ? "" : ` (${reason})`}`,
  );
  const proof = kernel.proof === null ? "" : kernel.proof.passed ? ", proven" : `, WRONG: ${kernel.proof.failure}`;
  return `${interfaces.join(", ") || `no interface: ${kernel.reason}`}, ${room}${proof}`;
}

/** Shown only when the kernel's map is full. */
function pressure({ userSpaceOnly, folds }: Snapshot["bans"]): (readonly [string, string])[] {
  if (userSpaceOnly === 0 && folds === 0) return [];
  return [["map full", `${userSpaceOnly} bans in user space only, ${folds} prefixes that cover dense neighbours`]];
}
