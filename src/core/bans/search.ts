// SPDX-License-Identifier: Apache-2.0
// A page of the time-out table: those that are looked for, in the order that is asked for. A table of a hundred
// thousand takes its time, so it is a generator: a bounded piece of work between two yields.
import { addressHead, compareAddresses, contains, overlap, type Prefix, parsePrefix } from "../address.ts";
import type { Bans } from "./bans.ts";
import { type Ban, type Claim, claimsOf } from "./claim.ts";

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
  /** Their tickets: the table gives the ban when it is wanted. Ten thousand copies for each who asks are too many. */
  readonly page: readonly number[];
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
  const isWanted = wantedBy(query, nowMs);
  // Of a million bans numbers alone are held.
  const found: number[] = [];
  let looked = 0;
  for (const ticket of bans.tickets()) {
    const prefix = bans.prefixOf(ticket);
    if (prefix !== undefined && isWanted(prefix, () => bans.byTicket(ticket))) found.push(ticket);
    if (++looked % searchedAtOnce === 0) yield;
  }
  const page = yield* pageOf(bans, found, query, packetsOf);
  return { total: bans.size, matching: found.length, page };
}

function* pageOf(
  bans: Bans,
  found: readonly number[],
  { order, offset, limit }: BanQuery,
  packetsOf: (ban: Ban) => number,
): Generator<void, readonly number[], void> {
  if (order === "oldest") return found.slice(offset, offset + limit);
  if (order === "newest") {
    const end = Math.max(0, found.length - offset);
    return found.slice(Math.max(0, end - limit), end).reverse();
  }
  const keys = yield* keysOf(bans, found, order, packetsOf);
  const compare = (a: number, b: number) => {
    if (order !== "source") return 0;
    const [left, right] = [a, b].map((index) => bans.prefixOf(found[index] ?? -1));
    return left === undefined || right === undefined ? 0 : compareAddresses(left, right);
  };
  const ranked = yield* rankedInPieces(keys, compare, searchedAtOnce);
  return [...ranked.subarray(offset, offset + limit)].flatMap((index) => found[index] ?? []);
}

/** Whether a ban is looked for: by its prefix, and by the whole of it only where that does not tell. */
type IsWanted = (prefix: Prefix, ban: () => Ban | undefined) => boolean;

function wantedBy(query: BanQuery, nowMs: number): IsWanted {
  const { by, protocol, in: range } = query;
  const matches = matcher(query.search.trim(), nowMs);
  return (prefix, ban) => {
    if (range !== undefined && !contains(range, prefix)) return false;
    if (by === undefined && protocol === undefined) return matches(prefix, ban);
    const isClaimed = claimsNow(ban(), nowMs).some(
      ({ origin, reason }) =>
        (by === undefined || origin === by || origin.startsWith(`${by}:`)) &&
        (protocol === undefined || reason === protocol),
    );
    return isClaimed && matches(prefix, ban);
  };
}

function matcher(search: string, nowMs: number): IsWanted {
  if (search === "") return () => true;
  const wanted = parsePrefix(search);
  if (wanted !== undefined) return (prefix) => overlap(wanted, prefix);
  const text = search.toLowerCase();
  return (prefix, ban) =>
    prefix.text.includes(text) ||
    claimsNow(ban(), nowMs).some(
      ({ reason, origin }) => reason.toLowerCase().includes(text) || origin.toLowerCase().includes(text),
    );
}

function claimsNow(ban: Ban | undefined, nowMs: number): readonly Claim[] {
  return ban === undefined ? [] : claimsOf(ban, nowMs);
}

/** What each is ordered by, as a number: objects for each would keep the garbage collector busy. */
function* keysOf(
  bans: Bans,
  found: readonly number[],
  order: Exclude<BanOrder, "newest" | "oldest">,
  packetsOf: (ban: Ban) => number,
): Generator<void, Float64Array, void> {
  const keys = new Float64Array(found.length);
  const names = new Map<string, number>();
  for (const [index, ticket] of found.entries()) {
    if (index % searchedAtOnce === searchedAtOnce - 1) yield;
    const ban = bans.byTicket(ticket);
    if (ban === undefined) continue;
    if (order === "left") keys[index] = ban.untilMs;
    else if (order === "packets") keys[index] = -packetsOf(ban);
    else if (order === "source") keys[index] = addressHead(ban.prefix);
    else {
      const name = names.get(ban.reason) ?? names.size;
      names.set(ban.reason, name);
      keys[index] = name;
    }
  }
  if (order !== "protocol") return keys;
  const sorted = [...names.keys()].sort();
  const ranks = [...names.keys()].map((name) => sorted.indexOf(name));
  for (let index = 0; index < keys.length; index++) keys[index] = ranks[keys[index] ?? 0] ?? 0;
  return keys;
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
