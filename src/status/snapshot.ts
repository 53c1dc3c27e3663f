// SPDX-License-Identifier: Apache-2.0
// What `GET /status` says, and the words for bans: names are a contract, tools read them.

import { type Ban, type Claim, claimsOf, type Evidence, everywhere } from "../core/bans/claim.ts";
import { type FenceRecord, type FenceStatus, type MapFill, nowhere } from "../core/bans/fence.ts";
import type { Offender } from "../core/bans/offenders.ts";
import type { Refusal } from "../core/bans/refusal.ts";
import type { BetEvidence } from "../core/ciphertext/bets.ts";
import { printable } from "../log.ts";
import type { RecorderStatus } from "../recording/recorder.ts";
import type { BlocklistView } from "../sources/blocklist/view.ts";
import type { CrowdsecView } from "../sources/crowdsec/view.ts";
import type { FleetView } from "../sources/fleet/view.ts";
import type { EventView } from "./event_view.ts";
import type {
  ConnectionsSnapshot,
  GateSnapshot,
  JudgedSnapshot,
  ProxyProtocolSnapshot,
  UpstreamSnapshot,
} from "./gate_snapshot.ts";

export interface Snapshot {
  readonly version: string;
  readonly mode: "proxy" | "inline";
  readonly runtime: string;
  readonly pid: number;
  /** The name of the host. */
  readonly host: string;
  /** When this process started to serve, RFC 3339. */
  readonly since: string;
  readonly uptimeSeconds: number;
  readonly dryRun: boolean;
  readonly listen: string;
  readonly profile: string;
  readonly timeoutSeconds: number;
  /** Of all gates. */
  readonly upstreams: readonly UpstreamSnapshot[];
  /** Of the first gate. */
  readonly balance: string;
  readonly checkSeconds: number | null;
  readonly proxyProtocol: ProxyProtocolSnapshot;
  readonly neverBan: readonly { readonly prefix: string; readonly why: string }[];
  /** Of all gates together. */
  readonly connections: ConnectionsSnapshot;
  /** Each gate by itself; what stands above of listen, mode, profile and time-out is of the first one. */
  readonly gates: readonly GateSnapshot[];
  /** How often this process had no open files left. */
  readonly openFilesShortages: number;
  readonly bans: {
    readonly active: number;
    readonly total: number;
    readonly capacity: number;
    /** Enforced by user space alone: the kernel's map had no room or refused them. */
    readonly userSpaceOnly: number;
    /** Prefixes that stand in a full map for their neighbours, most of whom are banned. */
    readonly folds: number;
    /** Offences of sources that were spared for their friendly connections (--spare-friends). */
    readonly sparedFriends: number;
    readonly byProtocol: Readonly<Record<string, number>>;
  };
  readonly kernel: KernelSnapshot;
  /** Each --blocklist. */
  readonly blocklists: readonly BlocklistView[];
  /** Of the first gate that records; null without --record. */
  readonly recording: RecorderStatus | null;
  /** Null without --fleet. */
  readonly fleet: FleetView | null;
  /** Null without --crowdsec. */
  readonly crowdsec: CrowdsecView | null;
}

export interface KernelSnapshot {
  /** xdp, nftables, xdp+nftables; null without a block map. */
  readonly fence: string | null;
  /** native, generic, tc, nftables or none: the weakest of the interfaces. */
  readonly attach: string;
  readonly reason: string | null;
  readonly interfaces: readonly { readonly name: string; readonly attach: string; readonly reason: string | null }[];
  /** Guarded TCP ports; "all" with --scope host. */
  readonly ports: readonly number[] | "all";
  readonly map: string | null;
  readonly managedBy: string | null;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
  /** In all maps together. */
  readonly entries: number;
  /** Of the map that -B names. */
  readonly capacity: number;
  /** Each map by itself: single sources, IPv6 beside a documented map, ranges. */
  readonly maps: readonly MapFill[];
  readonly full: number;
  readonly failed: number;
  readonly proof: { readonly passed: boolean; readonly failure: string | null } | null;
  /** Packets that the program judged by their first bytes, by what became of them; null where it does not. */
  readonly judged: JudgedSnapshot | null;
  /** Connections that the program should have judged or dropped, and did not see; null without a block map. */
  readonly unseen: UnseenSnapshot | null;
}

export interface UnseenSnapshot {
  readonly connections: number;
  /** Connections that were followed from their handshake on, to find these. */
  readonly observed: number;
  /** Why nobody looks for them; null when somebody does. */
  readonly unobserved: string | null;
  readonly last: {
    readonly source: string;
    readonly sourcePort: number;
    readonly interface: string | null;
    readonly why: string;
  } | null;
}

/** One row of `GET /bans`. */
export interface BanView {
  readonly source: string;
  readonly protocol: string;
  readonly by: Claim["origin"];
  /** The gate that saw it; null where it was none. */
  readonly gate: string | null;
  /** Where the source is kept out: at all gates, or at the one that saw it alone. */
  readonly scope: "all" | "gate";
  /** RFC 3339. */
  readonly since: string;
  /** RFC 3339; null is without an end. */
  readonly until: string | null;
  readonly remainingSeconds: number | null;
  /** What the kernel dropped of it; null without a kernel entry. */
  readonly packets: number | null;
  readonly bytes: number | null;
  /** Who keeps the source out; the kernel only where there is proof for the way that it comes. */
  readonly refused: Refusal;
  /** Everybody who wants the source banned; what stands above is of the first one, whose claim ends last. */
  readonly claims: readonly ClaimView[];
}

export interface ClaimView {
  readonly origin: Claim["origin"];
  readonly protocol: string;
  readonly gate: string | null;
  readonly scope: "all" | "gate";
  /** RFC 3339. */
  readonly since: string;
  /** RFC 3339; null is without an end. */
  readonly until: string | null;
  readonly evidence: EvidenceView | null;
}

export interface EvidenceView {
  readonly client: string;
  readonly port: number;
  readonly firstBytesHex: string;
  readonly firstBytesText: string;
  /** The bet that the first bytes lost: docs/verdict.md. Left out where it was not that. */
  readonly bet?: BetEvidence;
}

export interface BanDetails extends BanView {
  /** Of the claim that ends last of those that have some. */
  readonly evidence: EvidenceView | null;
  readonly lastSeen: string | null;
}

/** Of a source that --escalate remembers. */
export interface OffenderView {
  readonly bans: number;
  /** RFC 3339: when the last of them ends or ended. */
  readonly until: string | null;
}

/** `GET /why/ADDR`: everything that is known of an address, or of a range. */
export interface Why {
  readonly address: string;
  readonly source: string;
  /** Refused by user space. */
  readonly ban: BanDetails | null;
  readonly neverBanned: { readonly prefix: string; readonly why: string } | null;
  /** How often it was banned lately; null without --escalate, and where it was not. */
  readonly offender: OffenderView | null;
  readonly kernel: {
    /** The live program's own answer; null where none can be asked. */
    readonly answer: "drop" | "pass" | null;
    /** xdp, nftables, xdp+nftables; null without a block map. */
    readonly fence: string | null;
    /** The prefix that blocks it for its dense neighbours in a full map. */
    readonly fold: string | null;
  };
  readonly connections: number;
  /** How many of its connections within ten minutes were neither expected nor foreign, as far as they count against it. */
  readonly undecided: number;
  /** What happened to it last, the newest first: 5 of the last 1024 events of this process. */
  readonly lately: readonly EventView[];
  /** The client's own address, where it may be a load balancer that --accept-proxy would believe; null otherwise. */
  readonly balancer: string | null;
  /** Of a range the bans inside it, the newest 1000 of them; null of a single address. */
  readonly within: { readonly total: number; readonly bans: readonly BanView[] } | null;
}

export function kernelSnapshot(
  status: FenceStatus | undefined,
  judged: JudgedSnapshot | undefined,
  unseen: UnseenSnapshot,
  { full, failed }: { readonly full: number; readonly failed: number },
): KernelSnapshot {
  if (status === undefined) {
    return {
      fence: null,
      attach: "none",
      reason: "no block map was asked for (--block-map)",
      interfaces: [],
      ports: [],
      map: null,
      managedBy: null,
      droppedPackets: 0,
      droppedBytes: 0,
      entries: 0,
      capacity: 0,
      maps: [],
      full,
      failed,
      proof: null,
      judged: null,
      unseen: null,
    };
  }
  const { proof } = status;
  return {
    fence: status.fence,
    attach: status.weakest?.attach ?? "none",
    reason: status.weakest === undefined ? nowhere : (status.weakest.reason ?? null),
    ports: status.ports,
    interfaces: status.places.map(({ name, attach, reason }) => ({ name, attach, reason: reason ?? null })),
    map: status.map ?? null,
    managedBy: status.managedBy ?? null,
    droppedPackets: status.droppedPackets,
    droppedBytes: status.droppedBytes,
    entries: status.entries,
    capacity: status.capacity,
    maps: status.maps,
    full,
    failed,
    proof: proof === undefined ? null : { passed: proof.passed, failure: proof.failure ?? null },
    judged: judged ?? null,
    unseen,
  };
}

/** What the fence knows of a ban. */
export interface BanInFence {
  readonly record: FenceRecord | undefined;
  readonly refused: Refusal;
}

/** The same moment by two clocks: since boot, and since 1970. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

export function banView(ban: Ban, { record, refused }: BanInFence, moment: Moment): BanView {
  const { nowMs } = moment;
  return {
    source: ban.prefix.text,
    protocol: ban.reason,
    by: ban.origin,
    gate: ban.gate ?? null,
    scope: everywhere(ban) === undefined ? "gate" : "all",
    since: timeOf(ban.sinceMs, moment) ?? "",
    until: timeOf(ban.untilMs, moment),
    remainingSeconds: Number.isFinite(ban.untilMs) ? Math.max(0, (ban.untilMs - nowMs) / 1000) : null,
    packets: record?.packets ?? null,
    bytes: record?.bytes ?? null,
    refused,
    claims: claimsOf(ban, nowMs).map((claim) => claimView(claim, moment)),
  };
}

export function banDetails(ban: Ban, inFence: BanInFence, moment: Moment): BanDetails {
  const evidence = claimsOf(ban, moment.nowMs).find((claim) => claim.evidence !== undefined)?.evidence;
  const lastSeenMs = inFence.record?.lastSeenMs;
  return {
    ...banView(ban, inFence, moment),
    lastSeen: lastSeenMs === undefined ? null : timeOf(lastSeenMs, moment),
    evidence: evidenceView(evidence),
  };
}

function claimView({ origin, reason, sinceMs, untilMs, evidence, gate, isLocal }: Claim, moment: Moment): ClaimView {
  return {
    origin,
    protocol: reason,
    gate: gate ?? null,
    scope: isLocal === true ? "gate" : "all",
    since: timeOf(sinceMs, moment) ?? "",
    until: timeOf(untilMs, moment),
    evidence: evidenceView(evidence),
  };
}

function evidenceView(evidence: Evidence | undefined): EvidenceView | null {
  if (evidence === undefined) return null;
  const { clientAddress, gatePort, firstBytes, bet } = evidence;
  return {
    client: clientAddress,
    port: gatePort,
    firstBytesHex: firstBytes.toHex(),
    firstBytesText: printable(firstBytes, firstBytes.length),
    ...(bet === undefined ? {} : { bet }),
  };
}

export function offenderView(offender: Offender | undefined, moment: Moment): OffenderView | null {
  return offender === undefined ? null : { bans: offender.bans, until: timeOf(offender.untilMs, moment) };
}

/** RFC 3339; null for what is without an end. @param atMs milliseconds since boot. */
function timeOf(atMs: number, { nowMs, wallMs }: Moment): string | null {
  return Number.isFinite(atMs) ? new Date(wallMs - nowMs + atMs).toISOString() : null;
}
