// SPDX-License-Identifier: Apache-2.0
// What `GET /status` says, and the words for bans: names are a contract, tools read them.
import type { Ban } from "../core/bans/bans.ts";
import type { FenceRecord, FenceStatus } from "../core/bans/fence.ts";
import type { RecorderStatus } from "../recording/recorder.ts";

export interface Snapshot {
  readonly version: string;
  readonly mode: "proxy" | "inline";
  readonly runtime: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly dryRun: boolean;
  readonly listen: string;
  readonly profile: string;
  readonly timeoutSeconds: number;
  readonly upstreams: readonly {
    readonly address: string;
    readonly reachable: boolean | null;
    readonly error: string | null;
    readonly active: number;
  }[];
  readonly neverBan: readonly { readonly prefix: string; readonly why: string }[];
  readonly connections: {
    readonly accepted: number;
    readonly relayed: number;
    readonly refusedBanned: number;
    readonly refusedFull: number;
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
  };
  readonly bans: {
    readonly active: number;
    readonly total: number;
    readonly capacity: number;
    /** Enforced by user space alone: the kernel's map had no room or refused them. */
    readonly userSpaceOnly: number;
    /** Prefixes that stand in a full map for their neighbours, most of whom are banned. */
    readonly folds: number;
    readonly byProtocol: Readonly<Record<string, number>>;
  };
  readonly kernel: KernelSnapshot;
  /** Null without --record. */
  readonly recording: RecorderStatus | null;
}

export interface KernelSnapshot {
  readonly attach: FenceStatus["attach"];
  readonly reason: string | null;
  readonly interfaces: readonly { readonly name: string; readonly attach: string; readonly reason: string | null }[];
  readonly map: string | null;
  readonly managedBy: string | null;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
  readonly entries: number;
  readonly capacity: number;
  readonly full: number;
  readonly failed: number;
  readonly proof: { readonly passed: boolean; readonly failure: string | null } | null;
  /** Packets that the program judged by their first bytes, by what became of them; null where it does not. */
  readonly judged: JudgedSnapshot | null;
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
  /** Decisions that user space was not told of. */
  readonly eventsLost: number;
}

/** One row of `GET /bans`. */
export interface BanView {
  readonly source: string;
  readonly protocol: string;
  readonly by: Ban["by"];
  /** RFC 3339. */
  readonly since: string;
  /** RFC 3339; null is without an end. */
  readonly until: string | null;
  readonly remainingSeconds: number | null;
  /** What the kernel dropped of it; null without a kernel entry. */
  readonly packets: number | null;
  readonly bytes: number | null;
}

export interface BanDetails extends BanView {
  readonly evidence: {
    readonly client: string;
    readonly port: number;
    readonly firstBytesHex: string;
    readonly firstBytesText: string;
  } | null;
  readonly lastSeen: string | null;
}

/** `GET /why/ADDR`: everything that is known of an address. */
export interface Why {
  readonly address: string;
  readonly source: string;
  /** Refused by user space. */
  readonly ban: BanDetails | null;
  readonly neverBanned: { readonly prefix: string; readonly why: string } | null;
  readonly kernel: {
    /** The live program's own answer; null where none can be asked. */
    readonly answer: "drop" | "pass" | null;
    /** The prefix that blocks it for its dense neighbours in a full map. */
    readonly fold: string | null;
  };
  readonly connections: number;
}

export function kernelSnapshot(
  status: FenceStatus | undefined,
  judged: JudgedSnapshot | undefined,
  { full, failed }: { readonly full: number; readonly failed: number },
): KernelSnapshot {
  if (status === undefined) {
    return {
      attach: "none",
      reason: "no block map was asked for (--block-map)",
      interfaces: [],
      map: null,
      managedBy: null,
      droppedPackets: 0,
      droppedBytes: 0,
      entries: 0,
      capacity: 0,
      full,
      failed,
      proof: null,
      judged: null,
    };
  }
  const { proof } = status;
  return {
    attach: status.attach,
    reason: status.reason ?? null,
    interfaces: status.interfaces.map(({ name, attach, reason }) => ({ name, attach, reason: reason ?? null })),
    map: status.map ?? null,
    managedBy: status.managedBy ?? null,
    droppedPackets: status.droppedPackets,
    droppedBytes: status.droppedBytes,
    entries: status.entries,
    capacity: status.capacity,
    full,
    failed,
    proof: proof === undefined ? null : { passed: proof.passed, failure: proof.failure ?? null },
    judged: judged ?? null,
  };
}

export function banView(ban: Ban, record: FenceRecord | undefined, nowMs: number, wallMs: number): BanView {
  const endless = ban.expiresMs === Number.POSITIVE_INFINITY;
  return {
    source: ban.prefix.text,
    protocol: ban.protocol,
    by: ban.by,
    since: new Date(wallMs - nowMs + ban.sinceMs).toISOString(),
    until: endless ? null : new Date(wallMs - nowMs + ban.expiresMs).toISOString(),
    remainingSeconds: endless ? null : Math.max(0, (ban.expiresMs - nowMs) / 1000),
    packets: record?.packets ?? null,
    bytes: record?.bytes ?? null,
  };
}
