// SPDX-License-Identifier: Apache-2.0
// The events about bans, made from the changes of the table. A dry run's bans are no bans: those that a
// client's conduct asked for are told as `would-ban`, all else is not told.

import type { BanChange, BanFollower } from "../core/bans/change.ts";
import type { Claim } from "../core/bans/claim.ts";
import type { Events, SourceEvent } from "../core/bans/events.ts";
import type { Spared } from "../sources/client_bans.ts";

export class BanEvents implements BanFollower {
  readonly #events: Events;
  readonly #dryRun: boolean;

  constructor(events: Events, dryRun: boolean) {
    this.#events = events;
    this.#dryRun = dryRun;
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      if ("isQuiet" in change && change.isQuiet === true) continue;
      if (this.#dryRun) this.#wouldBan(change);
      else this.#tell(change);
    }
  }

  spared({ source, gate, offence: { reason, evidence, origin } }: Spared, atMs: number): void {
    const none = { leftMs: undefined, kernel: undefined };
    this.#events.publish({ type: "spared", atMs, source, protocol: reason, evidence, by: origin, gate, ...none });
  }

  #wouldBan(change: BanChange): void {
    if (change.kind !== "ban" || change.claim.evidence === undefined) return;
    const { ban, claim, atMs } = change;
    const { reason: protocol, evidence, origin: by, gate } = claim;
    const none = { leftMs: undefined, kernel: undefined };
    this.#events.publish({ type: "would-ban", atMs, source: ban.prefix.text, protocol, evidence, by, gate, ...none });
  }

  #tell(change: BanChange): void {
    const { ban, atMs } = change;
    const source = ban.prefix.text;
    switch (change.kind) {
      case "ban":
        this.#publish("ban", source, change.claim, { atMs, by: change.claim.origin, kernel: change.fence?.kind });
        return;
      case "release":
        // It is banned still: by what is left.
        this.#publish("ban", source, ban, { atMs, by: ban.origin, kernel: undefined });
        return;
      case "lift":
        this.#publish("lift", source, ban, { atMs, by: change.by, kernel: undefined });
        return;
      case "end": {
        const by = typeof change.by === "string" ? change.by : "never-ban";
        this.#publish("end", source, ban, { atMs, by, kernel: undefined });
        return;
      }
      default:
        change satisfies never;
    }
  }

  #publish(
    type: SourceEvent["type"],
    source: string,
    { reason, evidence, untilMs, gate, isLocal }: Claim,
    { atMs, by, kernel }: Pick<SourceEvent, "atMs" | "by" | "kernel">,
  ): void {
    const leftMs = Math.max(0, untilMs - atMs);
    this.#events.publish({ type, atMs, source, protocol: reason, evidence, leftMs, by, kernel, gate, isLocal });
  }
}
