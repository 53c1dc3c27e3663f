// SPDX-License-Identifier: Apache-2.0
// Everything about bans that exists once for each daemon, joined: the table and its door, the desks of gates,
// the operator's, and who follows: events and log.
import { Bans } from "../core/bans/bans.ts";
import type { Ban } from "../core/bans/claim.ts";
import { Enforcement } from "../core/bans/enforcement.ts";
import type { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { NeverBan, type NeverBanEntry } from "../core/bans/never_ban.ts";
import { Offenders } from "../core/bans/offenders.ts";
import type { Refusal } from "../core/bans/refusal.ts";
import type { Terms } from "../core/bans/terms.ts";
import type { Client } from "../core/client.ts";
import { type BanCounters, LatencyHistogram, newBanCounters } from "../core/counters.ts";
import type { Log } from "../log.ts";
import { ClientBans, type ClientBansOptions } from "../sources/client_bans.ts";
import type { Desk } from "../sources/desk.ts";
import { Operator } from "../sources/operator.ts";
import { BanEvents } from "./ban_events.ts";
import { BanLog } from "./ban_log.ts";

export interface DaemonBansOptions {
  readonly maxBans: number;
  /** The prefix length that an IPv6 source is banned by. */
  readonly ipv6Bits: number;
  /** How long a ban lasts for which nobody says a time. */
  readonly terms: () => Terms;
  /** Whether a source has connections open, at any gate, that speak what is expected. */
  readonly hasFriends: (client: Client) => boolean;
  /** The table fills, and neither a fence nor whoever follows takes it for bans. */
  readonly dryRun: boolean;
  readonly occasion?: "dry run" | "trial";
  readonly neverBan: readonly NeverBanEntry[];
  readonly fence: Fence | undefined;
  /** Who keeps a banned source out. */
  readonly refusalOf: (ban: Ban) => Refusal;
  /** Whether a load balancer may be told to a gate (--accept-proxy). */
  readonly mayAcceptProxy: (gate: string | undefined) => boolean;
  readonly events: Events;
  readonly log: Log;
  readonly nowMs: () => number;
}

/** What a gate says of its bans. */
export type DeskParts = Pick<ClientBansOptions, "gate" | "terms" | "isLocal" | "spareFriends">;

export class DaemonBans {
  readonly enforcement: Enforcement;
  readonly #options: DaemonBansOptions;
  readonly #events: BanEvents;
  readonly operator: Operator;
  readonly counters: BanCounters = newBanCounters();
  /** From verdict to map entry. */
  readonly latency = new LatencyHistogram();
  readonly log: BanLog;
  readonly offenders: Offenders;
  /** Whether the fence holds somewhere; kept up to date by the daemon. */
  isFenceUp = false;

  constructor(options: DaemonBansOptions) {
    const {
      maxBans,
      ipv6Bits,
      terms,
      dryRun,
      occasion = "dry run",
      neverBan,
      fence,
      refusalOf,
      mayAcceptProxy,
      events,
      log,
      nowMs,
    } = options;
    this.#options = options;
    this.offenders = new Offenders(() => (terms().factor === 1 ? 0 : terms().memoryMs));
    this.log = new BanLog({ log, dryRun, occasion, refusalOf, mayAcceptProxy, offenders: this.offenders });
    this.#events = new BanEvents(events, dryRun);
    const bans = new Bans(maxBans, ipv6Bits);
    this.enforcement = new Enforcement(bans, new NeverBan(neverBan), dryRun ? undefined : fence, this.counters);
    this.enforcement.follow(this.offenders);
    this.enforcement.follow(this.#events);
    this.enforcement.follow(this.log);
    const { enforcement } = this;
    this.operator = new Operator({ enforcement, timeoutMs: () => terms().timeoutMs, ipv6Bits, nowMs });
  }

  /** A table apart, for a gate on trial: nobody is banned by it, and nobody else asks it. */
  apart(): DaemonBans {
    const neverBan = this.enforcement.neverBan.entries();
    return new DaemonBans({ ...this.#options, dryRun: true, occasion: "trial", fence: undefined, neverBan });
  }

  /** What a gate asks for is asked here. */
  deskOf(gate: DeskParts): Desk {
    const { dryRun, nowMs, hasFriends } = this.#options;
    const { enforcement, offenders, latency, counters } = this;
    return new ClientBans({
      ...gate,
      ...{ enforcement, offenders, hasFriends, nowMs, dryRun, latency },
      isFenceUp: () => this.isFenceUp,
      spared: (spared) => {
        if (spared.by === "friends") counters.sparedFriends++;
        this.#events.spared(spared, nowMs());
        this.log.spared(spared, nowMs());
      },
    });
  }
}
