// SPDX-License-Identifier: Apache-2.0
// The desk of every gate: bans of clients by what their own connection showed, whoever judged it (the sniffer,
// strikes, the kernel's judge, the server). Finds what of the source may be banned, and tells who is spared.

import type { Enforcement } from "../core/bans/enforcement.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import type { Client } from "../core/client.ts";
import type { LatencyHistogram } from "../core/counters.ts";
import type { Desk, Offence } from "./desk.ts";

/** A client that would be banned but for the never-ban list. */
export interface Spared {
  readonly source: string;
  readonly offence: Offence;
  readonly protectedBy: NeverBanEntry;
}

export interface ClientBansOptions {
  readonly enforcement: Enforcement;
  /** How long a ban lasts. */
  readonly timeoutMs: () => number;
  readonly nowMs: () => number;
  /** Bans fill the table, which nobody enforces. */
  readonly dryRun: () => boolean;
  /** From verdict to map entry. */
  readonly latency: LatencyHistogram;
  /** Whether a fence holds somewhere. */
  readonly isFenceUp: () => boolean;
  spared(spared: Spared): void;
}

export class ClientBans implements Desk {
  readonly #options: ClientBansOptions;

  constructor(options: ClientBansOptions) {
    this.#options = options;
  }

  refuses(client: Client): boolean {
    const { enforcement, nowMs } = this.#options;
    return enforcement.refuses(client, nowMs());
  }

  isFenced(client: Client): boolean {
    const { enforcement, nowMs, isFenceUp } = this.#options;
    return isFenceUp() && enforcement.isFenced(client, nowMs());
  }

  ban(client: Client, offence: Offence): "banned" | "spared" {
    const { enforcement, nowMs, latency, dryRun } = this.#options;
    const target = enforcement.neverBan.bannable(client);
    if ("conflict" in target) {
      this.#options.spared({ source: client.sourceText, offence, protectedBy: target.conflict });
      return "spared";
    }
    const now = nowMs();
    // In a dry run it would not have come so far.
    if (dryRun() && enforcement.refuses(client, now)) return "banned";
    const decidedMs = performance.now();
    const result = enforcement.ban(
      { prefix: target.prefix, ...offence, untilMs: now + this.#options.timeoutMs() },
      now,
    );
    if (result.kind === "banned" && result.fence?.kind === "enforced") {
      latency.observe((performance.now() - decidedMs) / 1000);
    }
    return result.kind;
  }
}
