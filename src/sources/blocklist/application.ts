// SPDX-License-Identifier: Apache-2.0
// Brings the table in line with a list, a slice at a time: bans what is on it and not banned by it or not for long
// any more, and ends its claims on what is not on it.
import { setImmediate } from "node:timers/promises";
import { type Prefix, requirePrefix } from "../../core/address.ts";
import type { BanRequest } from "../../core/bans/change.ts";
import { type Ban, type Claim, claimOf, type Origin } from "../../core/bans/claim.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import type { Entries } from "../../core/lists/entries.ts";

/** What stands in the place of a protocol. */
export const listed = "listed";

/** With the kernel's part less than a millisecond. */
const banAtOnce = 100;
const lookedAtAtOnce = 1000;
/** Two ends that are closer are the same. */
const sameEndMs = 2000;

export interface Table {
  readonly enforcement: Enforcement;
  /** Whether one more fits beside those that are asked for already, and what clients and operators may need. */
  readonly hasRoom: (prefix: Prefix, asked: number) => boolean;
  readonly nowMs: () => number;
}

export interface Wanted {
  readonly origin: Origin;
  readonly entries: Entries;
  /** How long those last that say nothing of it. */
  readonly forMs: number;
  /** Milliseconds since boot: from when those count that say how long. */
  readonly readMs: number;
  readonly isLifted: (source: string) => boolean;
}

export interface Applied {
  readonly added: number;
  readonly removed: number;
  readonly neverBanned: number;
  readonly noRoom: number;
}

export async function apply(table: Table, wanted: Wanted, signal: AbortSignal): Promise<Applied> {
  const counts = { added: 0, removed: 0, neverBanned: 0, noRoom: 0 };
  // Nothing ends before what came: a network may be on the list now whose hosts were, or the reverse.
  await banMissing(table, wanted, signal, counts);
  await withdrawOthers(table, wanted, signal, counts);
  if (counts.noRoom === 0 || counts.removed === 0) return counts;
  counts.noRoom = 0;
  counts.neverBanned = 0;
  await banMissing(table, wanted, signal, counts);
  return counts;
}

type Counts = { -readonly [K in keyof Applied]: number };

async function banMissing(table: Table, wanted: Wanted, signal: AbortSignal, counts: Counts): Promise<void> {
  const requests: BanRequest[] = [];
  let looked = 0;
  for (const [source, forMs] of wanted.entries) {
    const request = missing(table, wanted, [source, forMs], requests.length, counts);
    if (request !== undefined) requests.push(request);
    looked++;
    if (requests.length < banAtOnce && looked % lookedAtAtOnce !== 0) continue;
    ban(table, requests.splice(0), counts);
    await setImmediate();
    if (signal.aborted) return;
  }
  ban(table, requests, counts);
}

async function withdrawOthers(table: Table, { origin, entries }: Wanted, signal: AbortSignal, counts: Counts) {
  const { enforcement, nowMs } = table;
  const all = enforcement.bans.all();
  for (let slice = [...all.take(lookedAtAtOnce)]; slice.length > 0; slice = [...all.take(lookedAtAtOnce)]) {
    const gone = slice.filter((ban) => hasClaim(ban, origin) && !entries.has(ban.prefix.text));
    for (let start = 0; start < gone.length; start += banAtOnce) {
      const prefixes = gone.slice(start, start + banAtOnce).map(({ prefix }) => prefix);
      counts.removed += enforcement.withdraw(prefixes, origin, nowMs());
      await setImmediate();
    }
    await setImmediate();
    if (signal.aborted) return;
  }
}

function hasClaim(ban: Ban, origin: Origin): boolean {
  return ban.origin === origin || ban.others.some((claim) => claim.origin === origin);
}

/** What is to be asked for; undefined when it is there already, or is not to be. */
function missing(
  { enforcement, hasRoom, nowMs }: Table,
  { origin, forMs: usualMs, readMs, isLifted }: Wanted,
  [source, ownMs]: readonly [source: string, ownMs: number | undefined],
  asked: number,
  counts: Counts,
): BanRequest | undefined {
  const ban = enforcement.bans.byText(source);
  const claim = ban === undefined ? undefined : claimOf(ban, origin, nowMs());
  const untilMs = ownMs === undefined ? nowMs() + usualMs : readMs + ownMs;
  if (untilMs <= nowMs() || isLifted(source) || isEnough(claim, untilMs, ownMs === undefined ? usualMs / 2 : 0)) {
    return undefined;
  }
  const prefix = ban?.prefix ?? requirePrefix(source);
  // The never-ban list has its say first: what stands against it needs no room.
  if (ban === undefined && !hasRoom(prefix, asked) && enforcement.neverBan.conflict(prefix) === undefined) {
    counts.noRoom++;
    return undefined;
  }
  if (claim === undefined) counts.added++;
  return { prefix, reason: listed, origin, untilMs };
}

/** A claim is renewed when half of its time is over. */
function isEnough(claim: Claim | undefined, untilMs: number, slackMs: number): boolean {
  return claim !== undefined && claim.untilMs >= untilMs - slackMs - sameEndMs;
}

function ban({ enforcement, nowMs }: Table, requests: readonly BanRequest[], counts: Counts): void {
  if (requests.length === 0) return;
  for (const { kind } of enforcement.banMany(requests, nowMs(), true)) {
    if (kind !== "spared") continue;
    counts.neverBanned++;
    counts.added--;
  }
}
