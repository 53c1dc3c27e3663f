// SPDX-License-Identifier: Apache-2.0
// What one gate says of one source in the shared table, as a line of text: when its ban was made and when it
// ends, when the gate last lifted the source, the protocol, the evidence in short form. All times are the
// engine's. A record comes from outside: what is not well formed is no record. Pure.
import { type Evidence, evidenceBytes } from "../bans/claim.ts";

export interface FleetRecord {
  /** Milliseconds by the engine's clock. */
  readonly madeMs: number;
  /** Infinity is without an end; not after `madeMs`: the gate took its own ban back. */
  readonly untilMs: number;
  /** Bans of anybody that were made until then are lifted; 0: never. */
  readonly liftedMs: number;
  readonly reason: string;
  readonly evidence: Evidence | undefined;
}

/** What the script of the engine makes a record of: ages and rests, by the gate's own monotonic clock. */
export interface Announcement {
  readonly source: string;
  /** Infinity is without an end; 0: the ban is taken back. */
  readonly leftMs: number;
  readonly agoMs: number;
  /** Undefined: never lifted. */
  readonly liftedAgoMs: number | undefined;
  /** How much longer than the ban the record is kept, so that a gate that was away learns of a lift. */
  readonly keepMs: number;
  readonly reason: string;
  readonly evidence: string;
}

/** 64 bytes in hex, an address, two ports and the rest: longer is no record. */
const longest = 400;
const pattern = /^(\d{1,16}) (\d{1,16}) (\d{1,16}) ([\w.-]{1,64}) (\S+)$/;
const evidencePattern = /^((?:[0-9a-f]{2}){0,64}),([0-9A-Fa-f:.]{2,45}),(\d{1,5}),(\d{1,5})$/;
const none = "-";

/** @returns undefined for what no gate writes. */
export function parseRecord(text: string): FleetRecord | undefined {
  if (text.length > longest) return undefined;
  const [, made, until, lifted, reason, evidence] = pattern.exec(text) ?? [];
  if (reason === undefined || evidence === undefined) return undefined;
  const seen = evidence === none ? undefined : parseEvidence(evidence);
  if (evidence !== none && seen === undefined) return undefined;
  return {
    madeMs: Number(made),
    untilMs: until === "0" ? Number.POSITIVE_INFINITY : Number(until),
    liftedMs: Number(lifted),
    reason,
    evidence: seen,
  };
}

export function formatRecord({ madeMs, untilMs, liftedMs, reason, evidence }: FleetRecord): string {
  const until = Number.isFinite(untilMs) ? untilMs : 0;
  return `${madeMs} ${until} ${liftedMs} ${reason} ${shortEvidence(evidence)}`;
}

/** The evidence without the bet: what a person wants to see. */
export function shortEvidence(evidence: Evidence | undefined): string {
  if (evidence === undefined) return none;
  const { firstBytes, clientAddress, clientPort, gatePort } = evidence;
  return `${firstBytes.subarray(0, evidenceBytes).toHex()},${clientAddress},${clientPort},${gatePort}`;
}

function parseEvidence(text: string): Evidence | undefined {
  const [, bytes, clientAddress, clientPort, gatePort] = evidencePattern.exec(text) ?? [];
  if (bytes === undefined || clientAddress === undefined) return undefined;
  return {
    firstBytes: Uint8Array.fromHex(bytes),
    clientAddress,
    clientPort: Number(clientPort),
    gatePort: Number(gatePort),
  };
}

/** A protocol's name as a record may carry it. */
export function recordReason(reason: string): string {
  return reason.replaceAll(/[^\w.-]/g, "_").slice(0, 64) || "unknown";
}

/** Of a fleet or of a gate: a part of a key, and of an origin. */
export const fleetNamePattern = /^[A-Za-z0-9_.-]{1,64}$/;
