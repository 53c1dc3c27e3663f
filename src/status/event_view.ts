// SPDX-License-Identifier: Apache-2.0
// An event as the stream, the page and `ttgate events` tell it.
import type { GateEvent, SourceEventType } from "../core/bans/events.ts";
import type { BetEvidence } from "../core/ciphertext/bets.ts";

/** What a line of `data:` says: names are a contract. Null where it has no meaning. */
export type EventView =
  | {
      readonly type: SourceEventType;
      readonly at: string;
      readonly source: string;
      readonly protocol: string;
      /** Hex. */
      readonly firstBytes: string | null;
      /** The bet that they lost; left out where it was not that. */
      readonly bet?: BetEvidence;
      /** Until the ban ends; null is without an end, or no ban. */
      readonly seconds: number | null;
      readonly by: string;
      /** The gate that saw it; null where it was none. */
      readonly gate: string | null;
      /** `gate`: it holds at that gate alone. */
      readonly scope: "all" | "gate";
      readonly kernel: string | null;
    }
  | {
      readonly type: "upstream";
      readonly at: string;
      readonly upstream: string;
      /** Behind which gate; null where there is none. */
      readonly gate: string | null;
      readonly reachable: boolean;
      readonly error: string | null;
    }
  | {
      readonly type: "unseen";
      readonly at: string;
      readonly source: string;
      readonly sourcePort: number;
      readonly port: number;
      readonly interface: string | null;
      readonly why: string;
    };

export interface RecentEvent {
  readonly id: number;
  readonly event: EventView;
}

/** @param bootMs when this host started, on the wall clock. */
export function eventView(event: GateEvent, bootMs: number): EventView {
  const at = new Date(bootMs + event.atMs).toISOString();
  if (event.type === "upstream") {
    const { type, upstream, gate, reachable, error } = event;
    return { type, at, upstream, reachable, error: error ?? null, gate: gate ?? null };
  }
  if (event.type === "unseen") {
    const { type, source, sourcePort, port, interfaceName, why } = event;
    return { type, at, source, sourcePort, port, interface: interfaceName ?? null, why };
  }
  const { type, source, protocol, evidence, leftMs, by, kernel, gate, isLocal } = event;
  const ends = leftMs !== undefined && Number.isFinite(leftMs);
  return {
    ...{ type, at, source, protocol, by },
    gate: gate ?? null,
    scope: isLocal === true ? "gate" : "all",
    firstBytes: evidence?.firstBytes.toHex() ?? null,
    ...(evidence?.bet === undefined ? {} : { bet: evidence.bet }),
    seconds: ends ? Math.round(leftMs) / 1000 : null,
    kernel: kernel ?? null,
  };
}
