// SPDX-License-Identifier: Apache-2.0
// What `GET /status` says of each gate: names are a contract, tools read them.
import type { GateOptions } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import type { InlineOutcome } from "../fences/xdp/inline/inline_layout.ts";
import type { Gate } from "../gate/gate.ts";
import type { RecorderStatus } from "../recording/recorder.ts";

export interface UpstreamSnapshot {
  readonly address: string;
  readonly reachable: boolean | null;
  readonly error: string | null;
  readonly active: number;
}

export interface ConnectionsSnapshot {
  readonly accepted: number;
  readonly relayed: number;
  readonly refusedBanned: number;
  readonly refusedFull: number;
  /** Of these, because all places of the gate were taken, not those of the source. */
  readonly refusedNoRoom: number;
  readonly foreign: number;
  readonly undecided: number;
  readonly upstreamFailed: number;
  readonly spared: number;
  /** With --reject silent: ended without a packet, and reset because that could not be done. */
  readonly silenced: number;
  readonly notSilenced: number;
  readonly cut: number;
  readonly active: number;
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
  readonly connections: ConnectionsSnapshot;
  /** Packets to its port that the kernel judged; null where it does not. */
  readonly judged: JudgedSnapshot | null;
  /** Null without --record. */
  readonly recording: RecorderStatus | null;
}

export interface GateView {
  readonly config: GateOptions;
  readonly gate: Pick<Gate, "counters" | "sessions" | "room" | "upstreams">;
  readonly kernelJudge: { readonly counts: Readonly<Record<InlineOutcome, number>> } | undefined;
  readonly recorder: { status(): RecorderStatus } | undefined;
}

export function gateSnapshot({ config, gate, kernelJudge, recorder }: GateView): GateSnapshot {
  const { host, port } = config.listen;
  return {
    name: config.name,
    mode: config.mode,
    listen: formatEndpoint({ address: host, port }),
    profile: config.profile,
    timeoutSeconds: config.timeout / 1000,
    banScope: config["ban-scope"],
    upstreams: gate.upstreams.status().map(({ address, reachable, error, active }) => ({
      address,
      reachable: reachable ?? null,
      error: error ?? null,
      active,
    })),
    connections: { ...gate.counters, active: gate.sessions.size, limit: gate.room.limit },
    judged: kernelJudge === undefined ? null : judgedSnapshot(kernelJudge.counts),
    recording: recorder?.status() ?? null,
  };
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
