// SPDX-License-Identifier: Apache-2.0
// A ban as an alert of CrowdSec with one decision, https://crowdsecurity.github.io/api_doc/lapi/ (POST /alerts).
// LAPI refuses an alert without one of these fields.
import { type Ban, type Claim, evidenceBytes } from "../../core/bans/claim.ts";
import { longestMs } from "../../core/crowdsec/outbox.ts";
import { printable } from "../../log.ts";

interface Meta {
  readonly key: string;
  readonly value: string;
}

export interface Alert {
  readonly scenario: string;
  readonly scenario_hash: string;
  readonly scenario_version: string;
  readonly message: string;
  readonly events_count: number;
  /** RFC 3339. */
  readonly start_at: string;
  readonly stop_at: string;
  readonly capacity: number;
  readonly leakspeed: string;
  readonly simulated: boolean;
  readonly events: readonly { readonly timestamp: string; readonly meta: readonly Meta[] }[];
  readonly source: {
    readonly scope: string;
    readonly value: string;
    readonly ip?: string;
    readonly range?: string;
  };
  readonly decisions: readonly {
    readonly duration: string;
    readonly origin: string;
    readonly scenario: string;
    readonly scope: string;
    readonly type: "ban";
    readonly value: string;
  }[];
}

/** The moment by two clocks: since boot, and since 1970. */
export interface AlertMoment {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** CrowdSec's words for what a source is. @param source canonical. */
export function scopeOf(source: string): "Ip" | "Range" {
  return source.includes("/") ? "Range" : "Ip";
}

/** @param origin what tells own decisions from others. */
export function alertOf({ prefix }: Ban, claim: Claim, origin: string, { nowMs, wallMs }: AlertMoment): Alert {
  const { text: value } = prefix;
  const scope = scopeOf(value);
  const scenario = `ttgate/${claim.reason}`;
  // Decisions end by this moment and their duration.
  const at = new Date(wallMs).toISOString();
  const seconds = Math.max(1, Math.round(Math.min(claim.untilMs - nowMs, longestMs) / 1000));
  return {
    ...{ scenario, scenario_hash: "", scenario_version: "", message: messageOf(value, claim) },
    ...{ events_count: 1, start_at: at, stop_at: at, capacity: 0, leakspeed: "0s", simulated: false },
    events: [{ timestamp: at, meta: metaOf(claim) }],
    source: { scope, value, ...(scope === "Ip" ? { ip: value } : { range: value }) },
    decisions: [{ duration: `${seconds}s`, origin, scenario, scope, type: "ban", value }],
  };
}

function messageOf(source: string, { origin, reason, evidence }: Claim): string {
  if (evidence === undefined) return `${source}: banned by ${origin}`;
  return `${source}: ${reason} at port ${evidence.gatePort}`;
}

function metaOf({ origin, reason, evidence, gate }: Claim): Meta[] {
  const bytes = evidence?.firstBytes.subarray(0, evidenceBytes);
  const known = {
    service: reason,
    judged_by: origin,
    gate,
    source_ip: evidence?.clientAddress,
    target_port: evidence && String(evidence.gatePort),
    first_bytes: bytes && printable(bytes, evidenceBytes),
  };
  return Object.entries(known).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]));
}
