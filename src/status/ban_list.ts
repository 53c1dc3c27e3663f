// SPDX-License-Identifier: Apache-2.0
// `GET /bans`: what may be asked for, and the answer as JSON, put together in pieces.
import { parsePrefix } from "../core/address.ts";
import { type BanOrder, type BanQuery, banOrders } from "../core/bans/search.ts";
import type { Work } from "../core/work.ts";
import type { BanView } from "./snapshot.ts";

interface BanCounts {
  /** In the whole table. */
  readonly total: number;
  /** Of these, those that were looked for. */
  readonly matching: number;
}

export interface BanList extends BanCounts {
  readonly bans: readonly BanView[];
}

/** The same, not made yet: at most `rowsAtOnce` of them at a time. */
export interface BanRows extends BanCounts {
  readonly rows: Iterable<readonly BanView[], void, void>;
}

export function* wholeList(work: Work<BanRows>): Work<BanList> {
  const { total, matching, rows } = yield* work;
  const bans: BanView[] = [];
  for (const piece of rows) {
    bans.push(...piece);
    yield;
  }
  return { total, matching, bans };
}

/** 4 MB of JSON; more is asked for page by page, by `offset`. */
const limitMost = 10_000;
export const limitDefault = 1000;
/** Longer than any address, protocol or origin. */
const searchMost = 100;
/** Rows made in one piece: less than a millisecond. */
export const rowsAtOnce = 100;

/** @returns the query, or what is wrong with it. */
export function banQuery(asked: (name: string) => string | undefined, limit = limitDefault): BanQuery | string {
  const limitText = asked("limit") ?? `${limit}`;
  if (!/^\d{1,5}$/.test(limitText) || Number(limitText) > limitMost) {
    return `Invalid limit "${limitText}": expected a whole number, at most ${limitMost}`;
  }
  const offset = asked("offset") ?? "0";
  if (!/^\d{1,9}$/.test(offset)) return `Invalid offset "${offset}": expected a whole number`;
  const order = asked("sort") ?? "newest";
  if (!isOrder(order)) return `Invalid sort "${order}": expected ${banOrders.join(", ")}`;
  const search = asked("q") ?? "";
  if (search.length > searchMost) return `Invalid q: ${search.length} characters, expected at most ${searchMost}`;
  const range = asked("in");
  const prefix = range === undefined ? undefined : parsePrefix(range);
  if (range !== undefined && prefix === undefined) return `Invalid in "${range}": expected such as 192.0.2.0/24`;
  const [by, protocol] = [asked("by"), asked("protocol")];
  return { search, order, by, protocol, in: prefix, offset: Number(offset), limit: Number(limitText) };
}

function isOrder(text: string): text is BanOrder {
  return (banOrders as readonly string[]).includes(text);
}

/** `{"total": ..., "banned": ..., "offset": ..., "bans": [...]}`, a text for each piece; `total` is of those asked for. */
export function* banListJson({ total, matching, rows }: BanRows, offset: number): Generator<string, void, void> {
  yield `{"total":${matching},"banned":${total},"offset":${offset},"bans":[`;
  let isFirst = true;
  for (const piece of rows) {
    const text = piece.map((ban) => JSON.stringify(ban)).join(",");
    if (text !== "") yield isFirst ? text : `,${text}`;
    isFirst = false;
  }
  yield "]}";
}
