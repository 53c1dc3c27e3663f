// SPDX-License-Identifier: Apache-2.0
// A page of the time-out table: those that are looked for, in the order that is asked for. A table of a hundred
// thousand takes its time, so it is a generator: a bounded piece of work between two yields.
import { addressHead, contains, headsAgree, type Prefix, parsePrefix } from "../address.ts";
import type { Bans } from "./bans.ts";
import { type Ban, claimsOf } from "./claim.ts";

/** `newest`, `oldest`: by when they came into the table. `left`: who is free soonest. `packets`: most dropped. */
export const banOrders = ["newest", "oldest", "left", "packets", "source", "protocol"] as const;

export type BanOrder = (typeof banOrders)[number];

export interface BanQuery {
  /** An address or CIDR: what is inside it, or around it. Other text: a part of the source, protocol or origin. */
  readonly search: string;
  readonly order: BanOrder;
  /** An origin that wants it banned; `list` is every list. */
  readonly by?: string | undefined;
  readonly protocol?: string | undefined;
  /** In which range. */
  readonly in?: Prefix | undefined;
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

/** @param packetsOf what the fence dropped of a ban. */
export function* searchBans(
  bans: Bans,
  query: BanQuery,
  nowMs: number,
  packetsOf: (ban: Ban) => number,
): Generator<void, BanPage, void> {
  const found: Ban[] = [];
  const isWanted = wantedBy(query, nowMs);
  let looked = 0;
  for (const ban of bans.all()) {
    if (isWanted(ban)) found.push(ban);
    if (++looked % searchedAtOnce === 0) yield;
  }
  const page = yield* pageOf(found, query, packetsOf);
  return { total: bans.size, matching: found.length, bans: page };
}

function* pageOf(
  found: readonly Ban[],
  { order, offset, limit }: BanQuery,
  packetsOf: (ban: Ban) => number,
): Generator<void, readonly Ban[], void> {
  if (order === "oldest") return found.slice(offset, offset + limit);
  if (order === "newest") {
    const end = Math.max(0, found.length - offset);
    return found.slice(Math.max(0, end - limit), end).reverse();
  }
  const keys = yield* keysOf(found, order, packetsOf);
  const ranked = yield* rankedInPieces(keys, (a, b) => compareSources(found[a], found[b], order), searchedAtOnce);
  return [...ranked.subarray(offset, offset + limit)].flatMap((index) => found[index] ?? []);
}

function wantedBy(query: BanQuery, nowMs: number): (ban: Ban) => boolean {
  const { by, protocol, in: range } = query;
  const matches = matcher(query.search.trim(), nowMs);
  const head = range === undefined ? 0 : addressHead(range);
  return (ban) => {
    if (range !== undefined && !(headsAgree(range, head, ban.prefix) && contains(range, ban.prefix))) return false;
    if (by === undefined && protocol === undefined) return matches(ban);
    const isClaimed = claimsOf(ban, nowMs).some(
      ({ origin, reason }) =>
        (by === undefined || origin === by || origin.startsWith(`${by}:`)) &&
        (protocol === undefined || reason === protocol),
    );
    return isClaimed && matches(ban);
  };
}

function matcher(search: string, nowMs: number): (ban: Ban) => boolean {
  if (search === "") return () => true;
  const prefix = parsePrefix(search);
  if (prefix !== undefined) {
    const head = addressHead(prefix);
    return (ban) =>
      headsAgree(prefix, head, ban.prefix) && (contains(prefix, ban.prefix) || contains(ban.prefix, prefix));
  }
  const text = search.toLowerCase();
  return (ban) =>
    ban.prefix.text.includes(text) ||
    claimsOf(ban, nowMs).some(
      ({ reason, origin }) => reason.toLowerCase().includes(text) || origin.toLowerCase().includes(text),
    );
}

/** What each is ordered by, as a number: objects for each would keep the garbage collector busy. */
function* keysOf(
  found: readonly Ban[],
  order: Exclude<BanOrder, "newest" | "oldest">,
  packetsOf: (ban: Ban) => number,
): Generator<void, Float64Array, void> {
  const keys = new Float64Array(found.length);
  const names = new Map<string, number>();
  for (const [index, ban] of found.entries()) {
    const { prefix, untilMs, reason } = ban;
    if (order === "left") keys[index] = untilMs;
    else if (order === "packets") keys[index] = -packetsOf(ban);
    else if (order === "source") keys[index] = addressHead(prefix);
    else {
      const name = names.get(reason) ?? names.size;
      names.set(reason, name);
      keys[index] = name;
    }
    if (index % searchedAtOnce === searchedAtOnce - 1) yield;
  }
  if (order !== "protocol") return keys;
  const sorted = [...names.keys()].sort();
  const ranks = [...names.keys()].map((name) => sorted.indexOf(name));
  for (let index = 0; index < keys.length; index++) keys[index] = ranks[keys[index] ?? 0] ?? 0;
  return keys;
}

/** Between two of the same head. */
function compareSources(a: Ban | undefined, b: Ban | undefined, order: BanOrder): number {
  if (order !== "source" || a === undefined || b === undefined) return 0;
  const [left, right] = [a.prefix.bytes.toHex(), b.prefix.bytes.toHex()];
  return left < right ? -1 : Number(left > right) || a.prefix.bits - b.prefix.bits;
}

/**
 * The indices of keys in the order of the keys; merge sort, stable.
 * @param compare two indices of the same key.
 */
export function* rankedInPieces(
  keys: Float64Array,
  compare: (a: number, b: number) => number,
  pieceLength: number,
): Generator<void, Uint32Array, void> {
  const count = keys.length;
  const isAfter = (a: number, b: number) => {
    const [left = 0, right = 0] = [keys[a], keys[b]];
    return left > right || (left === right && compare(a, b) > 0);
  };
  // A loop: Uint32Array.from calls a function for each, ten times slower.
  let from = new Uint32Array(count);
  for (let index = 0; index < count; index++) from[index] = index;
  let to = new Uint32Array(count);
  let moved = 0;
  for (let width = 1; width < count; width *= 2) {
    for (let start = 0; start < count; start += 2 * width) {
      const [middle, end] = [Math.min(start + width, count), Math.min(start + 2 * width, count)];
      let [left, right] = [start, middle];
      for (let at = start; at < end; at++) {
        const takesRight = left >= middle || (right < end && isAfter(from[left] ?? 0, from[right] ?? 0));
        to[at] = from[takesRight ? right++ : left++] ?? 0;
        if (++moved % pieceLength === 0) yield;
      }
    }
    [from, to] = [to, from];
  }
  return from;
}
