// SPDX-License-Identifier: Apache-2.0
// A page of a large table: what is found, in which order, and that no piece of the work is a large one.
import { describe, expect, spyOn, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { Ban, Origin } from "../../../src/core/bans/claim.ts";
import {
  type BanPage,
  type BanQuery,
  rankedInPieces,
  searchBans,
  searchedAtOnce,
} from "../../../src/core/bans/search.ts";

interface Given {
  readonly source: string;
  readonly reason?: string;
  readonly origin?: Origin;
  readonly untilMs?: number;
}

function tableOf(given: readonly Given[]): Bans {
  const bans = new Bans(1_000_000, 64);
  for (const { source, reason = "http", origin = "sniffer", untilMs = 1000 } of given) {
    const claim = { origin, reason, sinceMs: 0, untilMs, evidence: undefined };
    bans.add({ prefix: requirePrefix(source), ...claim, others: [], standsIn: undefined });
  }
  return bans;
}

/** How many yields it took, and the page. */
function carriedOut<T>(work: Generator<void, T, void>): readonly [yields: number, result: T] {
  for (let yields = 0; ; yields++) {
    const { done, value } = work.next();
    if (done === true) return [yields, value];
  }
}

interface Found extends BanPage {
  readonly bans: readonly Ban[];
}

function found(bans: Bans, query: Partial<BanQuery> = {}): Found {
  const whole = { search: "", order: "newest", offset: 0, limit: 100, ...query } as const;
  const [, answer] = carriedOut(searchBans(bans, whole, 0, () => 0));
  return { ...answer, bans: answer.page.flatMap((ticket) => bans.byTicket(ticket) ?? []) };
}

function sources({ bans }: Found): string[] {
  return bans.map(({ prefix }) => prefix.text);
}

const few = tableOf([
  { source: "192.0.2.9", reason: "tls", untilMs: 300 },
  { source: "192.0.2.10", untilMs: 100, origin: "list:blocked" },
  { source: "2001:db8:0:1::/64", reason: "ssh", untilMs: Number.POSITIVE_INFINITY },
  { source: "198.51.100.0/24", reason: "manual", untilMs: 200, origin: "operator" },
]);

describe("a search", () => {
  test.each<readonly [BanQuery["order"], readonly string[]]>([
    ["newest", ["198.51.100.0/24", "2001:db8:0:1::/64", "192.0.2.10", "192.0.2.9"]],
    ["oldest", ["192.0.2.9", "192.0.2.10", "2001:db8:0:1::/64", "198.51.100.0/24"]],
    ["left", ["192.0.2.10", "198.51.100.0/24", "192.0.2.9", "2001:db8:0:1::/64"]],
    ["source", ["192.0.2.9", "192.0.2.10", "198.51.100.0/24", "2001:db8:0:1::/64"]],
    ["protocol", ["192.0.2.10", "198.51.100.0/24", "2001:db8:0:1::/64", "192.0.2.9"]],
  ])("orders by %s", (order, expected) => {
    expect(sources(found(few, { order }))).toEqual([...expected]);
  });

  test.each([
    ["192.0.2.", 2],
    [" SSH ", 1],
    ["blocked", 1],
    ["2001:db8::/32", 1],
    ["2001:db8:0:1::17", 1],
    ["198.51.100.7", 1],
    ["192.0.2.0/28", 2],
    ["0.0.0.0/0", 3],
    ["203.0.113.1", 0],
    ["<script>", 0],
  ])("for %j finds %d", (search, count) => {
    const page = found(few, { search });
    expect([page.total, page.matching, page.bans.length]).toEqual([4, count, count]);
  });

  test("orders sources that begin alike, and a range before what is in it", () => {
    const alike = [
      "10.0.0.1",
      "2001:db8:0:2::/64",
      "10.0.0.0/8",
      "2001:db8:0:1::/64",
      "10.0.0.0",
      "2001:db8::/32",
      "9.9.9.9",
    ];
    expect(sources(found(tableOf(alike.map((source) => ({ source }))), { order: "source" }))).toEqual([
      ...["9.9.9.9", "10.0.0.0/8", "10.0.0.0", "10.0.0.1", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8:0:2::/64"],
    ]);
  });

  test("pages meet without a gap, and beyond the last there is nothing", () => {
    const many = tableOf(
      Array.from({ length: 2345 }, (_, number) => ({ source: `10.0.${number >> 8}.${number & 255}` })),
    );
    for (const order of ["newest", "oldest", "left", "packets", "source", "protocol"] as const) {
      const pages = Array.from({ length: 25 }, (_, page) => sources(found(many, { order, offset: page * 100 })));
      expect(new Set(pages.flat()).size).toBe(2345);
      expect(pages.at(-1)).toEqual([]);
      expect(pages.flat()).toEqual(sources(found(many, { order, limit: 2345 })));
    }
  });
});

describe("a hundred thousand bans", () => {
  const count = 100_000;
  const many = tableOf(
    Array.from({ length: count }, (_, number) => ({
      source: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`,
      reason: ["http", "tls", "ssh"][number % 3] ?? "",
      untilMs: 1000 + ((number * 7919) % count),
    })),
  );

  test.each<Partial<BanQuery>>([
    {},
    { offset: 99_990 },
    { search: "10.1.0.0/20" },
    { search: "no such" },
    { order: "left" },
    { order: "source", offset: 50_000 },
  ])("are looked through in pieces of no more than a few hundred: %j", (query) => {
    let looked = 0;
    let most = 0;
    const tickets = many.tickets.bind(many);
    using _counted = spyOn(many, "tickets").mockImplementation(() =>
      tickets().map((ticket) => {
        looked++;
        return ticket;
      }),
    );
    const work = searchBans(many, { search: "", order: "newest", limit: 25, offset: 0, ...query }, 0, () => 0);
    let before = 0;
    while (work.next().done !== true) {
      most = Math.max(most, looked - before);
      before = looked;
    }
    expect(looked).toBe(count);
    expect(most).toBe(searchedAtOnce);
  });

  test("are looked through and put in order without a copy of each", () => {
    using copied = spyOn(many, "byTicket");
    for (const order of ["left", "source", "protocol"] as const) {
      const query = { search: "http", order, by: "sniffer", offset: 0, limit: 10 };
      const [, { matching }] = carriedOut(searchBans(many, query, 0, () => 0));
      expect(matching).toBe(Math.ceil(count / 3));
    }
    expect(copied).not.toHaveBeenCalled();
  });

  test("are put in order a few hundred steps at a time", () => {
    const keys = Float64Array.from({ length: count }, (_, number) => (number * 7919) % 1000);
    const [yields, ranked] = carriedOut(rankedInPieces(keys, () => 0, searchedAtOnce));
    const expected = [...keys.keys()].sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
    expect([...ranked]).toEqual(expected);
    // Each of them is moved once for each doubling; before that they are numbered, fifty thousand at a time.
    expect(yields).toBe((count / searchedAtOnce) * Math.ceil(Math.log2(count)) + count / 50_000);
  });

  test("change under the search, which goes on", () => {
    const bans = tableOf(
      Array.from({ length: 5000 }, (_, number) => ({ source: `10.0.${number >> 8}.${number & 255}` })),
    );
    const work = searchBans(bans, { search: "", order: "newest", offset: 0, limit: 10 }, 0, () => 0);
    work.next();
    for (const ban of [...bans.all()].slice(0, 4000)) bans.remove(ban.prefix);
    const [, answer] = carriedOut(work);
    expect(answer.page.length).toBe(10);
    expect(answer.total).toBe(1000);
  });
});
