// SPDX-License-Identifier: Apache-2.0
// Everything about bans that exists once for each daemon, joined: the table and its door, the desk for gates,
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
import { ClientBans } from "../sources/client_bans.ts";
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
  readonly spareFriends: () => number;
  readonly hasFriends: (client: Client) => boolean;
  /** The table fills, and neither a fence nor whoever follows takes it for bans. */
  readonly dryRun: () => boolean;
  readonly neverBan: readonly NeverBanEntry[];
  readonly fence: Fence | undefined;
  /** Who keeps a banned source out. */
  readonly refusalOf: (ban: Ban) => Refusal;
  readonly events: Events;
  readonly log: Log;
  readonly nowMs: () => number;
}

export class DaemonBans {
  readonly enforcement: Enforcement;
  readonly desk: Desk;
  readonly operator: Operator;
  readonly counters: BanCounters = newBanCounters();
  /** From verdict to map entry. */
  readonly latency = new LatencyHistogram();
  readonly log: BanLog;
  readonly offenders: Offenders;
  /** Whether the fence holds somewhere; kept up to date by the daemon. */
  isFenceUp = false;

  constructor({
    maxBans,
    ipv6Bits,
    terms,
    spareFriends,
    hasFriends,
    dryRun,
    neverBan,
    fence,
    refusalOf,
    events,
    log,
    nowMs,
  }: DaemonBansOptions) {
    this.offenders = new Offenders(() => (terms().factor === 1 ? 0 : terms().memoryMs));
    this.log = new BanLog({ log, dryRun, refusalOf, offenders: this.offenders });
    const banEvents = new BanEvents(events, dryRun);
    const bans = new Bans(maxBans, ipv6Bits);
    this.enforcement = new Enforcement(bans, new NeverBan(neverBan), dryRun() ? undefined : fence, this.counters);
    this.enforcement.follow(this.offenders);
    this.enforcement.follow(banEvents);
    this.enforcement.follow(this.log);
    const { enforcement, offenders, latency, counters } = this;
    this.operator = new Operator({ enforcement, timeoutMs: () => terms().timeoutMs, ipv6Bits, nowMs });
    this.desk = new ClientBans({
      ...{ enforcement, offenders, terms, spareFriends, hasFriends, nowMs, dryRun, latency },
      isFenceUp: () => this.isFenceUp,
      spared: (spared) => {
        if (spared.by === "friends") counters.sparedFriends++;
        banEvents.spared(spared, nowMs());
        this.log.spared(spared, nowMs());
      },
    });
  }
}
