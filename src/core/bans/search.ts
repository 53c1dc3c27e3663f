// SPDX-License-Identifier: Apache-2.0
// A page of the time-out table: those that are looked for, in the order that is asked for. A table of a hundred
// thousand takes its time, so it is a generator: a bounded piece of work between two yields.
import { contains, parsePrefix } from "../address.ts";
import type { Bans } from "./bans.ts";
import { type Ban, claimsOf } from "./claim.ts";

/** `newest`, `oldest`: by when they came into the table. `ends`: the soonest first. */
export const banOrders = ["newest", "oldest", "ends", "source", "protocol"] as const;

export type BanOrder = (typeof banOrders)[number];

export interface BanQuery {
  /** An address or CIDR: what is inside it, or around it. Other text: a part of the source, protocol or origin. */
  readonly search: string;
  readonly order: BanOrder;
  readonly offset: number;
  readonly limit: number;
}

export interface BanPage {
  /** In the whole table. */
  readonly total: number;
  /** Of these, those that were looked for. */
  readonly matching: number;
  readonly bans: readonly Ban[];
}

/** Bans looked at, or put in order, between two yields: less than a millisecond. */
export const searchedAtOnce = 1000;

export function* searchBans(bans: Bans, query: BanQuery, nowMs: number): Generator<void, BanPage, void> {
  const search = query.search.trim();
  const found: Ban[] = [];
  const isWanted = matcher(search, nowMs);
  let looked = 0;
  for (const ban of bans.all()) {
    if (isWanted(ban)) found.push(ban);
    if (++looked % searchedAtOnce === 0) yield;
  }
  const page = yield* pageOf(found, query);
  return { total: bans.size, matching: found.length, bans: page };
}

function* pageOf(found: readonly Ban[], { order, offset, limit }: BanQuery): Generator<void, readonly Ban[], void> {
  if (order === "oldest") return found.slice(offset, offset + limit);
  if (order === "newest") {
    const end = Math.max(0, found.length - offset);
    return found.slice(Math.max(0, end - limit), end).reverse();
  }
  const keyed: Keyed[] = [];
  const keyOf = keys[order];
  for (const ban of found) {
    keyed.push({ ban, key: keyOf(ban) });
    if (keyed.length % searchedAtOnce === 0) yield;
  }
  const sorted = yield* sortedInPieces(keyed, byKey, searchedAtOnce);
  return sorted.slice(offset, offset + limit).map(({ ban }) => ban);
}

function matcher(search: string, nowMs: number): (ban: Ban) => boolean {
  if (search === "") return () => true;
  const prefix = parsePrefix(search);
  if (prefix !== undefined) {
    return (ban) => contains(prefix, ban.prefix) || contains(ban.prefix, prefix);
  }
  const text = search.toLowerCase();
  return (ban) =>
    ban.prefix.text.includes(text) ||
    claimsOf(ban, nowMs).some(
      ({ reason, origin }) => reason.toLowerCase().includes(text) || origin.toLowerCase().includes(text),
    );
}

interface Keyed {
  readonly ban: Ban;
  readonly key: number | string;
}

const keys: Readonly<Record<Exclude<BanOrder, "newest" | "oldest">, (ban: Ban) => number | string>> = {
  ends: ({ untilMs }) => untilMs,
  source: ({ prefix }) => `${prefix.bytes.toHex()}/${prefix.bits}`,
  protocol: ({ reason }) => reason,
};

function byKey(a: Keyed, b: Keyed): number {
  return a.key < b.key ? -1 : Number(a.key > b.key);
}

/** Merge sort, stable: pieces are sorted by themselves, then merged, two at a time. */
export function* sortedInPieces<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
  pieceLength: number,
): Generator<void, readonly T[], void> {
  let pieces: T[][] = [];
  for (let start = 0; start < items.length; start += pieceLength) {
    pieces.push(items.slice(start, start + pieceLength).sort(compare));
    yield;
  }
  while (pieces.length > 1) {
    const merged: T[][] = [];
    for (let index = 0; index < pieces.length; index += 2) {
      merged.push(yield* merge(pieces[index] ?? [], pieces[index + 1] ?? [], compare, pieceLength));
    }
    pieces = merged;
  }
  return pieces[0] ?? [];
}

function* merge<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
  pieceLength: number,
): Generator<void, T[], void> {
  const merged: T[] = [];
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const [a, b] = [left[l], right[r]];
    if (b === undefined || (a !== undefined && compare(a, b) <= 0)) {
      if (a !== undefined) merged.push(a);
      l++;
    } else {
      merged.push(b);
      r++;
    }
    if (merged.length % pieceLength === 0) yield;
  }
  return merged;
}
