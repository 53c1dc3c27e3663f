// SPDX-License-Identifier: Apache-2.0
// What CrowdSec is to be told of this gate: bans that it found out or was told itself, and that they were lifted.
// Never what came from CrowdSec, from a fleet, from a list or from the map. Bounded: when too much waits, the table
// is compared with what CrowdSec has instead. Pure.

import type { BanChange, BanFollower } from "../bans/change.ts";
import { type Ban, type Claim, claimsOf, type Origin } from "../bans/claim.ts";
import type { Enforcement } from "../bans/enforcement.ts";

export type Doing = "push" | "delete";

const waitingLimit = 20_000;
/** CrowdSec's end of a ban may be so much earlier than the own one before it is told again. */
const sameEndMs = 60_000;
/** A ban is told within so long, unless CrowdSec is away; and what it was told is in its answers after so long. */
const onItsWayMs = 3000;
/** An answer with everything is given up after a minute, and carried out then. */
const longestAnswerMs = 120_000;
/** What is told of a ban without an end. */
export const longestMs = 10 * 365 * 86_400_000;

const told: readonly Origin[] = ["sniffer", "strikes", "kernel", "server", "operator", "fail2ban"];

export class Outbox implements BanFollower {
  /** Called when something waits. */
  onChange: () => void = () => {};
  /** Lifts that could not wait: CrowdSec's ban ends in its own time. */
  lost = 0;
  readonly #enforcement: Enforcement;
  readonly #waiting = new Map<string, Doing>();
  /** Taken, and neither done nor given back. */
  readonly #underWay = new Set<string>();
  /** When it was done, milliseconds since boot: the last ones. */
  readonly #done = new Map<string, number>();

  constructor(enforcement: Enforcement) {
    this.#enforcement = enforcement;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      const { ban, atMs } = change;
      switch (change.kind) {
        case "ban":
          if (!change.isAdopted && isTold(change.claim)) this.mark(ban.prefix.text, "push");
          break;
        case "release":
          if (!isElsewhere(change.by) && toldClaim(ban, atMs) === undefined) this.mark(ban.prefix.text, "delete");
          break;
        case "lift":
          if (toldClaim(ban, atMs) !== undefined) this.mark(ban.prefix.text, "delete");
          break;
        case "end":
          // One that made room still holds elsewhere.
          if (typeof change.by === "object" && toldClaim(ban, atMs)) this.mark(ban.prefix.text, "delete");
          break;
        default:
          change satisfies never;
      }
    }
  }

  mark(source: string, doing: Doing): void {
    if (this.#waiting.size >= waitingLimit && !this.#waiting.has(source)) {
      // Bans are found again by comparing.
      if (doing === "delete") this.lost++;
      return;
    }
    this.#waiting.set(source, doing);
    this.onChange();
  }

  /** At most so many that wait; they are marked again where it could not be done. */
  take(limit: number): [source: string, doing: Doing][] {
    const taken = [...this.#waiting.entries().take(limit)];
    for (const [source] of taken) {
      this.#waiting.delete(source);
      this.#underWay.add(source);
    }
    return taken;
  }

  /** CrowdSec was told. */
  done(source: string, nowMs: number): void {
    this.#underWay.delete(source);
    this.#done.delete(source);
    this.#done.set(source, nowMs);
    for (const [oldest, atMs] of this.#done) {
      if (atMs > nowMs - longestAnswerMs) break;
      this.#done.delete(oldest);
    }
  }

  /** Marks again what could not be done, unless something newer waits. */
  giveBack(entries: Iterable<readonly [source: string, doing: Doing]>): void {
    for (const [source, doing] of entries) {
      this.#underWay.delete(source);
      if (!this.#waiting.has(source)) this.mark(source, doing);
    }
  }

  /** The claim to tell of a source now; undefined: none. */
  claim(source: string, nowMs: number): { readonly ban: Ban; readonly claim: Claim } | undefined {
    const ban = this.#enforcement.bans.byText(source);
    const claim = ban && toldClaim(ban, nowMs);
    return ban === undefined || claim === undefined ? undefined : { ban, claim };
  }

  /**
   * Marks what CrowdSec does not have, a slice between two turns of the caller.
   * @param endOf of its ban of a source.
   * @param answeredMs when it said so, milliseconds since boot: what was made a moment before may be on its way.
   * @returns false when some could not be compared for that.
   */
  *compare(endOf: (source: string) => number, answeredMs: number, nowMs: () => number): Generator<void, boolean, void> {
    let isComplete = true;
    let looked = 0;
    for (const ban of this.#enforcement.bans.all()) {
      if (++looked % 1000 === 0) yield;
      const claim = toldClaim(ban, nowMs());
      if (claim === undefined || this.#waiting.has(ban.prefix.text)) continue;
      const wantedMs = Math.min(claim.untilMs, nowMs() + longestMs / 2);
      if (endOf(ban.prefix.text) >= wantedMs - sameEndMs) continue;
      const saidMs = Math.max(claim.sinceMs, this.#done.get(ban.prefix.text) ?? 0);
      if (saidMs > answeredMs - onItsWayMs || this.#underWay.has(ban.prefix.text)) isComplete = false;
      else this.mark(ban.prefix.text, "push");
    }
    return isComplete;
  }
}

/** Whose claims were never told. */
function isElsewhere(by: Origin): boolean {
  return by === "crowdsec" || by.startsWith("list:");
}

function isTold({ origin, isLocal }: Claim): boolean {
  return isLocal !== true && told.includes(origin);
}

/** Of those that are told the one that ends last. */
function toldClaim(ban: Ban, nowMs: number): Claim | undefined {
  let last: Claim | undefined;
  for (const claim of claimsOf(ban, nowMs)) {
    if (isTold(claim) && claim.untilMs > nowMs && (last === undefined || claim.untilMs > last.untilMs)) last = claim;
  }
  return last;
}
