// SPDX-License-Identifier: Apache-2.0
// Which bans `GET /bans` shows, and in which order.
import { type Prefix, parsePrefix } from "../core/address.ts";

export const banOrders = ["newest", "oldest", "left", "packets", "source"] as const;
export type BanOrder = (typeof banOrders)[number];

export interface BanQuery {
  readonly limit: number;
  /** `newest` and `oldest` by when they came into the table; `left`: who is free soonest; `packets`: most dropped. */
  readonly sort: BanOrder;
  /** An origin that wants it banned; `list` is every list. */
  readonly by: string | undefined;
  readonly protocol: string | undefined;
  /** In which range. */
  readonly in: Prefix | undefined;
}

/** The relay stands still while they are put together: 10,000 take some 30 ms. */
const bansAtOnce = 10_000;
/** A page of bans; more is asked for by `limit`. */
export const bansShown = 1000;

/** @returns a text that says what is wrong with it. */
export function readBanQuery(given: Readonly<Record<string, string | undefined>>): BanQuery | string {
  const { limit = `${bansShown}`, sort = "newest", by, protocol, in: range } = given;
  if (!/^\d{1,5}$/.test(limit) || Number(limit) > bansAtOnce) {
    return `Invalid limit "${limit}": expected a whole number, at most ${bansAtOnce}`;
  }
  const order = banOrders.find((name) => name === sort);
  if (order === undefined) return `Invalid sort "${sort}": expected ${banOrders.join(", ")}`;
  const prefix = range === undefined ? undefined : parsePrefix(range);
  if (range !== undefined && prefix === undefined) return `Invalid in "${range}": expected such as 192.0.2.0/24`;
  return { limit: Number(limit), sort: order, by, protocol, in: prefix };
}
