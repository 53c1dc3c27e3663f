// SPDX-License-Identifier: Apache-2.0
// What is wrong with a fleet at the moment, and what of its other gates was not taken.
import { formatDuration } from "../../core/duration.ts";
import type { Peer } from "../../core/fleet/peer.ts";
import { messageOf } from "../../failure.ts";
import { Troubles } from "../troubles.ts";

interface Refused {
  counts: string;
  isDeferred: boolean;
}

/** A flood is told of once a minute. */
const tellEveryMs = 60_000;

const words: Readonly<Record<string, string>> = {
  rate: "over --fleet-rate",
  most: "over --fleet-most",
  room: "for want of room in the table",
  wide: "wider than a /32 or /64, or of one host alone",
  malformed: "not well formed",
  hollow: "hints at nothing",
};

export class FleetTroubles extends Troubles {
  readonly #refused = new Map<string, Refused>();
  readonly #toldMs = new Map<string, number>();

  override told(): readonly string[] {
    const floods = [...this.#refused].filter(([, { isDeferred }]) => isDeferred);
    return [...super.told(), ...floods.map(([who, { counts }]) => refusedText(who, counts))];
  }

  /** The engine has no room, or does not write for another reason of its own: reading goes on. */
  isFull(error: unknown): boolean {
    const message = messageOf(error);
    if (!/\b(OOM|MISCONF|NOREPLICAS)\b/.test(message)) return false;
    this.set("full", `The fleet's engine takes no writes: ${message.split("\n")[0]}; bans are not announced`);
    return true;
  }

  tellRefusals(peers: Iterable<Peer>): void {
    for (const { name, refused, isDeferred, hollow, isHollow } of peers) {
      const { rate, most, room, wide, malformed } = refused;
      const told = Object.entries({ rate, most, room, wide, malformed }).filter(([, count]) => count > 0);
      this.#refusals(`gate ${name}`, told, isDeferred);
      if (hollow > 0) this.#refusals(`log in the name of ${name}`, [["hollow", hollow]], isHollow);
    }
  }

  /** What of a gate was not taken, in all, by why. */
  #refusals(who: string, counted: readonly (readonly [string, number])[], isDeferred: boolean): void {
    if (counted.length === 0) return;
    const counts = counted.map(([why, count]) => `${count} ${words[why] ?? why}`).join(", ");
    const before = this.#refused.get(who);
    this.#refused.set(who, { counts, isDeferred });
    const now = performance.now();
    if (before?.counts === counts || now - (this.#toldMs.get(who) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    this.#toldMs.set(who, now);
    this.log("warn", `${refusedText(who, counts)}; told at most once in ${formatDuration(tellEveryMs)}`);
  }
}

function refusedText(who: string, counts: string): string {
  return `The fleet's ${who} announced more than is taken from it: ${counts}`;
}
