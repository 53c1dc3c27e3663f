// SPDX-License-Identifier: Apache-2.0
// The desk where bans are decided: table, fence, log and events behind the doors that ask for bans. Exists
// once for each daemon, whatever the number of gates.
import { Bans } from "../core/bans/bans.ts";
import { type BanFollower, Enforcement } from "../core/bans/enforcement.ts";
import type { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { NeverBan, type NeverBanEntry } from "../core/bans/never_ban.ts";
import type { Client } from "../core/client.ts";
import { type BanCounters, LatencyHistogram, newBanCounters } from "../core/counters.ts";
import type { Desk } from "../gate/desk.ts";
import type { Log } from "../log.ts";
import { ClientBans, type Offence } from "../sources/client_bans.ts";
import { Operator } from "../sources/operator.ts";
import { BanEvents } from "./ban_events.ts";
import { BanLog } from "./ban_log.ts";

export interface BanDeskOptions {
  readonly maxBans: number;
  /** The prefix length that an IPv6 source is banned by. */
  readonly ipv6Bits: number;
  /** How long a ban lasts for which nobody says a time. */
  readonly timeoutMs: () => number;
  /** The table fills, and neither a fence nor whoever follows takes it for bans. */
  readonly dryRun: boolean;
  readonly neverBan: readonly NeverBanEntry[];
  readonly fence: Fence | undefined;
  readonly events: Events;
  readonly log: Log;
  readonly nowMs: () => number;
}

export class BanDesk implements Desk {
  readonly enforcement: Enforcement;
  readonly operator: Operator;
  readonly counters: BanCounters = newBanCounters();
  /** From verdict to map entry. */
  readonly latency = new LatencyHistogram();
  readonly log: BanLog;
  /** Whether the fence holds somewhere; kept up to date by the daemon. */
  isFenceUp = false;
  readonly #clientBans: ClientBans;
  readonly #nowMs: () => number;

  constructor({ maxBans, ipv6Bits, timeoutMs, dryRun, neverBan, fence, events, log, nowMs }: BanDeskOptions) {
    this.#nowMs = nowMs;
    this.log = new BanLog(log, dryRun);
    const banEvents = new BanEvents(events, dryRun);
    const bans = new Bans(maxBans, ipv6Bits);
    this.enforcement = new Enforcement(bans, new NeverBan(neverBan), dryRun ? undefined : fence, this.counters);
    this.enforcement.follow(banEvents);
    this.enforcement.follow(this.log);
    const { enforcement, latency } = this;
    this.operator = new Operator({ enforcement, timeoutMs, ipv6Bits, nowMs });
    this.#clientBans = new ClientBans({
      ...{ enforcement, timeoutMs, nowMs, dryRun, latency },
      spared: (spared) => {
        banEvents.spared(spared, nowMs());
        this.log.spared(spared);
      },
    });
  }

  /** Told of every change of the table. */
  follow(follower: BanFollower): void {
    this.enforcement.follow(follower);
  }

  refuses(client: Client): boolean {
    return this.enforcement.refuses(client, this.#nowMs());
  }

  ban(client: Client, offence: Offence): "banned" | "spared" {
    return this.#clientBans.ban(client, offence);
  }

  isFenced(client: Client): boolean {
    return this.isFenceUp && this.enforcement.isFenced(client, this.#nowMs());
  }
}
