// SPDX-License-Identifier: Apache-2.0
// What a gate asks of whoever decides on sources. The daemon's desk keeps the table of bans; the one of
// "ttgate learn" refuses nobody and bans nobody.
import type { Evidence, Origin } from "../core/bans/claim.ts";
import type { Client } from "../core/client.ts";

/** Why a client is to be banned: by what its own connection showed. */
export interface Offence {
  readonly origin: Extract<Origin, "sniffer" | "strikes" | "kernel" | "server">;
  /** The protocol spoken, or what stands in its place. */
  readonly reason: string;
  readonly evidence: Evidence;
}

export interface Desk {
  /** True when the client's source is banned. */
  refuses(client: Client): boolean;
  /** True when it would be banned, but for a dry run or a trial. */
  wouldRefuse(client: Client): boolean;
  /** When it returns, the source is refused, or spared and why was logged. */
  ban(client: Client, offence: Offence): "banned" | "spared";
  /** True when nothing that the client sends arrives any more: a fence drops it. */
  isFenced(client: Client): boolean;
}

/** Lets everybody in. */
export const openDesk: Desk = {
  refuses: () => false,
  wouldRefuse: () => false,
  ban: () => "spared",
  isFenced: () => false,
};
