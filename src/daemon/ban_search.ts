// SPDX-License-Identifier: Apache-2.0
// Looks through the table of bans for those that somebody asked for, a slice at a time: with a million bans the relay
// goes on in between.
import { setImmediate } from "node:timers/promises";
import { contains, type Prefix } from "../core/address.ts";
import { type Ban, claimsOf } from "../core/bans/claim.ts";
import type { BanQuery } from "../status/ban_query.ts";

/** How long a slice takes at most. */
const sliceMs = 2;
/** Between two looks at the clock. */
const bansPerLook = 64;

export interface BanSearchTable {
  all(): Iterable<Ban>;
  /** What the fence dropped of it. */
  packetsOf(ban: Ban): number;
}

export interface BansFound {
  readonly total: number;
  readonly bans: readonly Ban[];
}

export async function searchBans(table: BanSearchTable, query: BanQuery, nowMs: number): Promise<BansFound> {
  const isWanted = wantedBy(query, nowMs);
  const top = new Top(query.limit);
  let total = 0;
  let looked = 0;
  let endMs = performance.now() + sliceMs;
  for (const ban of table.all()) {
    if (isWanted(ban)) {
      total++;
      top.add(ban, rankOf(ban, query, total, table));
    }
    looked++;
    if (looked % bansPerLook !== 0 || performance.now() < endMs) continue;
    await setImmediate();
    endMs = performance.now() + sliceMs;
  }
  return { total, bans: top.list() };
}

function wantedBy({ by, protocol, in: range }: BanQuery, nowMs: number): (ban: Ban) => boolean {
  // Its bytes are made once, not for each ban.
  const outer: Prefix | undefined = range && { ...range, text: range.text, bits: range.bits, bytes: range.bytes };
  return (ban) => {
    if (outer !== undefined && !contains(outer, ban.prefix)) return false;
    if (by === undefined && protocol === undefined) return true;
    return claimsOf(ban, nowMs).some(
      ({ origin, reason }) =>
        (by === undefined || origin === by || origin.startsWith(`${by}:`)) &&
        (protocol === undefined || reason === protocol),
    );
  };
}

/** The lowest comes first. */
function rankOf(ban: Ban, { sort }: BanQuery, place: number, { packetsOf }: BanSearchTable): number | string {
  switch (sort) {
    case "newest":
      return -place;
    case "oldest":
      return place;
    case "left":
      return ban.untilMs;
    case "packets":
      return -packetsOf(ban);
    case "source":
      return `${ban.prefix.ipv4 ? 4 : 6}${ban.prefix.bytes.toHex()}`;
    default:
      return sort satisfies never;
  }
}

/** The first of many by rank, without keeping or sorting all of them at once. */
class Top {
  readonly #limit: number;
  #ranked: { readonly ban: Ban; readonly rank: number | string }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(ban: Ban, rank: number | string): void {
    this.#ranked.push({ ban, rank });
    if (this.#ranked.length > 2 * this.#limit + bansPerLook) this.#cut();
  }

  list(): Ban[] {
    this.#cut();
    return this.#ranked.map(({ ban }) => ban);
  }

  #cut(): void {
    this.#ranked.sort((a, b) => (a.rank < b.rank ? -1 : Number(a.rank > b.rank)));
    this.#ranked.length = Math.min(this.#ranked.length, this.#limit);
  }
}
