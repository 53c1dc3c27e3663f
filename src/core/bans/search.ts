// SPDX-License-Identifier: Apache-2.0
// A page of the table of bans: those that are looked for, in the order that is asked for. A table of a hundred
// thousand takes its time, so it is a generator: a bounded piece of work between two yields.
import {
  addressHead,
  compareAddresses,
  contains,
  overlap,
  type Prefix,
  parsePrefix,
  prefixFromWords,
} from "../address.ts";
import type { Bans } from "./bans.ts";
import type { Ban } from "./claim.ts";
import type { Kind } from "./table/kinds.ts";

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

/** Bans looked at, or put in order, between two yields: less than half a millisecond. */
export const searchedAtOnce = 500;

/** Numbers in chunks: of a million in one array the whole is copied each time that it grows. */
class Found {
  readonly #chunks: Float64Array[] = [];
  length = 0;

  push(ticket: number): void {
    const at = this.length++;
    if (at % foundInChunk === 0) this.#chunks.push(new Float64Array(foundInChunk));
    (this.#chunks.at(-1) as Float64Array)[at % foundInChunk] = ticket;
  }

  at(index: number): number {
    return this.#chunks[Math.floor(index / foundInChunk)]?.[index % foundInChunk] ?? -1;
  }

  slice(start: number, end: number): number[] {
    const length = Math.max(0, Math.min(end, this.length) - start);
    return Array.from({ length }, (_, index) => this.at(start + index));
  }
}

const foundInChunk = 4096;

/** @param packetsOf what the fence dropped of a ban. */
export function* searchBans(
  bans: Bans,
  query: BanQuery,
  nowMs: number,
  packetsOf: (ban: Ban) => number,
): Generator<void, BanPage, void> {
  const isWanted = wantedBy(bans, query, nowMs);
  // Of a million bans numbers alone are held.
  const found = new Found();
  let looked = 0;
  for (const ticket of bans.tickets()) {
    if (isWanted(ticket)) found.push(ticket);
    if (++looked % searchedAtOnce === 0) yield;
  }
  const page = yield* pageOf(bans, found, query, packetsOf);
  return { total: bans.size, matching: found.length, page };
}

function* pageOf(
  bans: Bans,
  found: Found,
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
    const [left, right] = [bans.prefixOf(found.at(a)), bans.prefixOf(found.at(b))];
    return left === undefined || right === undefined ? 0 : compareAddresses(left, right);
  };
  const ranked = yield* rankedInPieces(keys, compare, searchedAtOnce);
  return [...ranked.subarray(offset, offset + limit)].map((index) => found.at(index));
}

/** Whether the ban of a ticket is looked for. */
type IsWanted = (ticket: number) => boolean;

function wantedBy(bans: Bans, query: BanQuery, nowMs: number): IsWanted {
  const { by, protocol, in: range } = query;
  const matches = matcher(bans, query.search.trim(), nowMs);
  const isOfKind = ({ origin, reason }: Kind) =>
    (by === undefined || origin === by || origin.startsWith(`${by}:`)) &&
    (protocol === undefined || reason === protocol);
  const asksKind = by !== undefined || protocol !== undefined;
  return (ticket) => {
    if (range !== undefined && !isPrefixOf(bans, ticket, (prefix) => contains(range, prefix))) return false;
    if (asksKind && !bans.hasKind(ticket, nowMs, isOfKind)) return false;
    return matches(ticket);
  };
}

function matcher(bans: Bans, search: string, nowMs: number): IsWanted {
  if (search === "") return (ticket) => bans.prefixOf(ticket) !== undefined;
  const wanted = parsePrefix(search);
  if (wanted !== undefined) return (ticket) => isPrefixOf(bans, ticket, (prefix) => overlap(wanted, prefix));
  const text = search.toLowerCase();
  const mayBeAddress = /^[\da-f.:/]*$/.test(text);
  const isOfKind = ({ reason, origin }: Kind) =>
    reason.toLowerCase().includes(text) || origin.toLowerCase().includes(text);
  return (ticket) =>
    bans.hasKind(ticket, nowMs, isOfKind) ||
    (mayBeAddress && isPrefixOf(bans, ticket, (prefix) => prefix.text.includes(text)));
}

function isPrefixOf(bans: Bans, ticket: number, test: (prefix: Prefix) => boolean): boolean {
  const prefix = bans.prefixOf(ticket);
  return prefix !== undefined && test(prefix);
}

/** What each is ordered by, as a number: objects for each would keep the garbage collector busy. */
function* keysOf(
  bans: Bans,
  found: Found,
  order: Exclude<BanOrder, "newest" | "oldest">,
  packetsOf: (ban: Ban) => number,
): Generator<void, Float64Array, void> {
  const keys = new Float64Array(found.length);
  const names = new Map<string, number>();
  const keyOf = (ticket: number): number => {
    if (order === "source") return addressHead(bans.prefixOf(ticket) ?? nowhere);
    if (order === "packets") {
      const ban = bans.byTicket(ticket);
      return ban === undefined ? 0 : -packetsOf(ban);
    }
    const head = bans.headOf(ticket);
    if (head === undefined) return 0;
    if (order === "left") return head.untilMs;
    const name = names.get(head.reason) ?? names.size;
    names.set(head.reason, name);
    return name;
  };
  for (let index = 0; index < keys.length; index++) {
    keys[index] = keyOf(found.at(index));
    if (index % searchedAtOnce === searchedAtOnce - 1) yield;
  }
  if (order !== "protocol") return keys;
  const sorted = [...names.keys()].sort();
  const ranks = [...names.keys()].map((name) => sorted.indexOf(name));
  for (let index = 0; index < keys.length; index++) {
    keys[index] = ranks[keys[index] ?? 0] ?? 0;
    if (index % renumberedAtOnce === renumberedAtOnce - 1) yield;
  }
  return keys;
}

/** Of a ban that ended while it was looked for. */
const nowhere = prefixFromWords([0, 0, 0, 0]);
/** Numbers written in the order in which they stand: a tenth of a millisecond. */
const renumberedAtOnce = 50_000;

/** The numbers from zero on. By a loop: Uint32Array.from calls a function for each, ten times slower. */
function* numbered(count: number): Generator<void, Uint32Array<ArrayBuffer>, void> {
  const numbers = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    numbers[index] = index;
    if (index % renumberedAtOnce === renumberedAtOnce - 1) yield;
  }
  return numbers;
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
  let from = yield* numbered(count);
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
