// SPDX-License-Identifier: Apache-2.0
// The desk of a gate: bans of clients by what their own connection showed, whoever judged it (the sniffer,
// strikes, the kernel's judge, the server). Finds what of the source may be banned, and tells who is spared.

import type { Enforcement } from "../core/bans/enforcement.ts";
import type { Offenders } from "../core/bans/offenders.ts";
import { Strikes } from "../core/bans/strikes.ts";
import { type Terms, termOf } from "../core/bans/terms.ts";
import type { Client } from "../core/client.ts";
import type { LatencyHistogram } from "../core/counters.ts";
import type { Desk, Offence } from "./desk.ts";

/** A client that would be banned but for something. */
export interface Spared {
  readonly source: string;
  /** The gate that saw it. */
  readonly gate: string;
  readonly offence: Offence;
  readonly by: "never-ban" | "friends";
  /** What stands against it; a clause. */
  readonly because: string;
}

export interface ClientBansOptions {
  /** Name of the gate. */
  readonly gate: string;
  /** Its bans hold there alone. */
  readonly isLocal: () => boolean;
  readonly enforcement: Enforcement;
  readonly offenders: Offenders;
  readonly terms: () => Terms;
  /** How many offences a source may have within ten minutes while it has friendly connections open. */
  readonly spareFriends: () => number;
  /** Whether a source has connections open that speak what is expected. */
  readonly hasFriends: (client: Client) => boolean;
  readonly nowMs: () => number;
  /** Bans fill the table, which nobody enforces. */
  readonly dryRun: boolean;
  /** From verdict to map entry. */
  readonly latency: LatencyHistogram;
  /** Whether a fence holds somewhere. */
  readonly isFenceUp: () => boolean;
  spared(spared: Spared): void;
}

export class ClientBans implements Desk {
  readonly #options: ClientBansOptions;
  #spared = { limit: 0, strikes: new Strikes(0) };

  constructor(options: ClientBansOptions) {
    this.#options = options;
  }

  refuses(client: Client): boolean {
    return !this.#options.dryRun && this.#isBanned(client);
  }

  wouldRefuse(client: Client): boolean {
    return this.#options.dryRun && this.#isBanned(client);
  }

  isFenced(client: Client): boolean {
    const { enforcement, nowMs, isFenceUp } = this.#options;
    return isFenceUp() && enforcement.isFenced(client, nowMs());
  }

  ban(client: Client, offence: Offence): "banned" | "spared" {
    const { enforcement, offenders, nowMs, latency, dryRun, gate, isLocal } = this.#options;
    const target = enforcement.neverBan.bannable(client);
    if ("conflict" in target) {
      const { prefix, why } = target.conflict;
      return this.#spare(client, offence, "never-ban", `${prefix.text} is never banned (${why})`);
    }
    const now = nowMs();
    // In a dry run it would not have come so far.
    if (dryRun && enforcement.refuses(client, now, gate)) return "banned";
    const strikes = this.#sparesFriend(client, now);
    if (strikes !== undefined) return this.#spare(client, offence, "friends", strikes);
    const decidedMs = performance.now();
    const source = target.prefix.text;
    const termMs = termOf(this.#options.terms(), offence.reason, offenders.of(source, now), now);
    const request = { prefix: target.prefix, ...offence, untilMs: now + termMs, gate, isLocal: isLocal() };
    const result = enforcement.ban(request, now);
    if (result.kind === "banned" && result.fence?.kind === "enforced" && result.fence.isPending !== true) {
      latency.observe((performance.now() - decidedMs) / 1000);
    }
    return result.kind;
  }

  #isBanned(client: Client): boolean {
    const { enforcement, gate, nowMs } = this.#options;
    return enforcement.refuses(client, nowMs(), gate);
  }

  #spare(client: Client, offence: Offence, by: Spared["by"], because: string): "spared" {
    this.#options.spared({ source: client.sourceText, gate: this.#options.gate, offence, by, because });
    return "spared";
  }

  /** @returns why the source is spared this time; undefined when it is not. */
  #sparesFriend(client: Client, nowMs: number): string | undefined {
    const limit = this.#options.spareFriends();
    if (limit === 0 || !this.#options.hasFriends(client)) return undefined;
    if (limit !== this.#spared.limit) this.#spared = { limit, strikes: new Strikes(limit + 1) };
    const { strikes } = this.#spared;
    if (strikes.add(client.sourceText, nowMs)) return undefined;
    return `it has friendly connections open (strike ${strikes.count(client.sourceText)} of ${limit}, --spare-friends)`;
  }
}
