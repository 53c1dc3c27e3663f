// SPDX-License-Identifier: Apache-2.0
// What `GET /status` says of each gate: names are a contract, tools read them.
import type { GateOptions } from "../config/options.ts";
import { checkEvery } from "../config/servers.ts";
import { formatEndpoint } from "../core/address.ts";
import type { InlineOutcome } from "../fences/xdp/inline/inline_layout.ts";
import type { Gate } from "../gate/gate.ts";
import type { RecorderStatus } from "../recording/recorder.ts";

export interface UpstreamSnapshot {
  readonly address: string;
  readonly reachable: boolean | null;
  /** Of the last attempt to connect. */
  readonly error: string | null;
  readonly active: number;
  /** Connections opened for clients, and attempts that failed. */
  readonly total: number;
  readonly failed: number;
  /** Where a name leads; null for what is no name. */
  readonly resolved: string | null;
  /** Why a name does not resolve at the moment. */
  readonly unresolved: string | null;
}

export interface ProxyProtocolSnapshot {
  /** To the upstream: "off", "v1" or "v2". */
  readonly send: string;
  /** Proxies in front; a ban of a client inside holds in user space on their connections. */
  readonly accept: readonly string[];
}

export interface ConnectionsSnapshot {
  readonly accepted: number;
  readonly relayed: number;
  readonly refusedBanned: number;
  readonly refusedFull: number;
  readonly refusedRate: number;
  /** Of these, because all places of the gate were taken, not those of the source. */
  readonly refusedNoRoom: number;
  /** Of the undecided, closed so that another one had a place. */
  readonly madeRoom: number;
  /** With --idle: reset since nobody had sent anything for so long. */
  readonly idleEnded: number;
  readonly foreign: number;
  readonly undecided: number;
  readonly upstreamFailed: number;
  /** Of a proxy (--accept-proxy), without the PROXY protocol header. */
  readonly withoutHeader: number;
  /** Connects to an upstream that failed for want of files or ports here. */
  readonly shortOfResources: number;
  readonly spared: number;
  /** With --reject silent: ended without a packet, and reset because that could not be done. */
  readonly silenced: number;
  readonly notSilenced: number;
  readonly cut: number;
  readonly active: number;
  /** Of these, not judged yet. */
  readonly pending: number;
  readonly limit: number;
}

export interface JudgedSnapshot {
  /** First bytes, as expected. */
  readonly passed: number;
  /** First bytes, not enough to tell. */
  readonly undecided: number;
  readonly banned: number;
  /** Foreign, from an address that is never banned. */
  readonly spared: number;
  /** Foreign, in a dry run. */
  readonly wouldBan: number;
  /** Foreign, and left to user space, for want of room in the map. */
  readonly notBanned: number;
  /** Perhaps forged or damaged: left to the kernel. */
  readonly unproven: number;
  /** To the guarded port, and of no connection in this network namespace. */
  readonly noSocket: number;
  /** Of connections that were open before ttgate came. */
  readonly older: number;
  /** Dropped, to be sent again when they can be judged. */
  readonly held: number;
  /** Of somebody banned, made a RST for the server. */
  readonly reset: number;
  /** Of somebody banned, answered with a RST. */
  readonly bounced: number;
  /** IP fragments, dropped. */
  readonly fragment: number;
  /** Behind more tags or extension headers than are read, dropped. */
  readonly unread: number;
  /** First bytes whose urgent pointer was taken out. */
  readonly urgent: number;
  /** Segments whose MPTCP option was taken out. */
  readonly mptcp: number;
  /** Decisions that user space was not told of. */
  readonly eventsLost: number;
}

export interface GateSnapshot {
  readonly name: string;
  readonly mode: "proxy" | "inline";
  readonly listen: string;
  readonly profile: string;
  readonly timeoutSeconds: number;
  /** Where its bans hold: at all gates, or here alone. */
  readonly banScope: "all" | "gate";
  readonly upstreams: readonly UpstreamSnapshot[];
  /** "failover" or "round-robin". */
  readonly balance: string;
  /** Seconds between two looks at each upstream; null without. */
  readonly checkSeconds: number | null;
  readonly proxyProtocol: ProxyProtocolSnapshot;
  readonly connections: ConnectionsSnapshot;
  /** Packets to its port that the kernel judged; null where it does not. */
  readonly judged: JudgedSnapshot | null;
  /** Of its profile; null without --trial. */
  readonly trial: TrialSnapshot | null;
  /** Null without --record. */
  readonly recording: RecorderStatus | null;
}

export interface TrialSnapshot {
  readonly state: "observing" | "enforcing";
  /** RFC 3339; null when the time is over. */
  readonly until: string | null;
  readonly durationSeconds: number;
  readonly observedSeconds: number;
  /** Sources that would have been banned or closed. */
  readonly wouldTurnAway: number;
  /** Sources that have proven good. */
  readonly goodSources: number;
  /** Sources that are both. */
  readonly hurt: readonly { readonly source: string; readonly reason: string }[];
  /** All of it in words. */
  readonly text: string;
}

export interface GateView {
  readonly config: GateOptions;
  readonly gate: Pick<Gate, "counters" | "sessions" | "room" | "upstreams">;
  readonly kernelJudge: { readonly counts: Readonly<Record<InlineOutcome, number>> } | undefined;
  readonly trial?: { snapshot(): TrialSnapshot } | undefined;
  readonly recorder: { status(): RecorderStatus } | undefined;
}

export function gateSnapshot({ config, gate, kernelJudge, trial, recorder }: GateView): GateSnapshot {
  const { host, port } = config.listen;
  const checkMs = checkEvery(config);
  return {
    name: config.name,
    mode: config.mode,
    listen: formatEndpoint({ address: host, port }),
    profile: config.profile,
    timeoutSeconds: config.timeout / 1000,
    banScope: config["ban-scope"],
    upstreams: gate.upstreams.status().map((upstream) => ({
      ...upstream,
      reachable: upstream.reachable ?? null,
      error: upstream.error ?? null,
      resolved: upstream.resolved ?? null,
      unresolved: upstream.unresolved ?? null,
    })),
    balance: config.balance,
    checkSeconds: checkMs === undefined ? null : checkMs / 1000,
    proxyProtocol: { send: config["send-proxy"], accept: config["accept-proxy"].map(({ text }) => text) },
    connections: connectionsOf(gate),
    judged: kernelJudge === undefined ? null : judgedSnapshot(kernelJudge.counts),
    trial: trial?.snapshot() ?? null,
    recording: recorder?.status() ?? null,
  };
}

export function connectionsOf({ counters, upstreams, sessions, room }: GateView["gate"]): ConnectionsSnapshot {
  const { size: active, undecided: pending } = sessions;
  return { ...counters, shortOfResources: upstreams.shortage.count, active, pending, limit: room.limit };
}

/** Of several gates together. */
export function sumOf(all: readonly ConnectionsSnapshot[]): ConnectionsSnapshot {
  const [first, ...others] = all;
  if (first === undefined) throw new Error("There is no gate");
  return others.reduce((sum, counted) => {
    const names = Object.keys(sum) as (keyof ConnectionsSnapshot)[];
    return Object.fromEntries(names.map((name) => [name, sum[name] + counted[name]])) as unknown as ConnectionsSnapshot;
  }, first);
}

/** Packets by what became of them, as the kernel's judge counts them. */
export function judgedSnapshot(counted: Readonly<Record<InlineOutcome, number>>): JudgedSnapshot {
  const { would_ban, not_banned, no_socket, event_lost, ...counts } = counted;
  return { ...counts, wouldBan: would_ban, notBanned: not_banned, noSocket: no_socket, eventsLost: event_lost };
}
