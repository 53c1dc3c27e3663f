// SPDX-License-Identifier: Apache-2.0
// `GET /bans`: what may be asked for, and the answer as JSON, put together in pieces.
import { type BanOrder, type BanQuery, banOrders } from "../core/bans/search.ts";
import type { Work } from "./slices.ts";
import type { BanView } from "./snapshot.ts";

export interface BanList {
  /** In the whole table. */
  readonly total: number;
  /** Of these, those that were looked for. */
  readonly matching: number;
  readonly bans: readonly BanView[];
}

/** 4 MB of JSON; more is asked for page by page, by `offset`. */
const limitMost = 10_000;
const limitDefault = 1000;
/** Longer than any address, protocol or origin. */
const searchMost = 100;
/** Rows made between two yields: less than a millisecond. */
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
  return { search, order, offset: Number(offset), limit: Number(limitText) };
}

function isOrder(text: string): text is BanOrder {
  return (banOrders as readonly string[]).includes(text);
}

/** `{"total": ..., "matching": ..., "offset": ..., "bans": [...]}`. */
export function* banListJson(work: Work<BanList>, offset: number): Work<string> {
  const { total, matching, bans } = yield* work;
  const rows: string[] = [];
  for (let start = 0; start < bans.length; start += rowsAtOnce) {
    const piece = bans.slice(start, start + rowsAtOnce);
    rows.push(piece.map((ban) => JSON.stringify(ban)).join(","));
    yield;
  }
  return `{"total":${total},"matching":${matching},"offset":${offset},"bans":[${rows.join(",")}]}`;
}
