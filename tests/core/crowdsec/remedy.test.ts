// SPDX-License-Identifier: Apache-2.0
// What CrowdSec says and what becomes of it in the table, without a CrowdSec: what is hard to bring about with a real
// one, and many at a time.
import { beforeEach, describe, expect, test } from "bun:test";
import { contains, type Prefix, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { BanChange } from "../../../src/core/bans/change.ts";
import { claimsOf, type Origin } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { type Decision, readDecision } from "../../../src/core/crowdsec/decision.ts";
import { Outbox } from "../../../src/core/crowdsec/outbox.ts";
import { Answer, Remedy } from "../../../src/core/crowdsec/remedy.ts";
import { finished } from "../../../src/core/work.ts";
import { lifted } from "../../harness/lifted.ts";

const own = "ttgate:web-1";
let nowMs = 1_000_000;
let enforcement: Enforcement;
let remedy: Remedy;
let outbox: Outbox;
let changes: BanChange[];
let room: (prefix: Prefix, asked: number) => boolean;

beforeEach(() => {
  nowMs = 1_000_000;
  const neverBan = [{ prefix: requirePrefix("192.0.2.0/24"), why: "--allow" }];
  enforcement = new Enforcement(new Bans(100_000, 64), new NeverBan(neverBan), undefined, newBanCounters());
  room = () => true;
  remedy = new Remedy({ enforcement, ownOrigin: own, hasRoom: (prefix, asked) => room(prefix, asked) });
  outbox = new Outbox(enforcement);
  changes = [];
  enforcement.follow(remedy);
  enforcement.follow(outbox);
  enforcement.follow({ bansChanged: (all) => changes.push(...all) });
});

type Given = readonly [id: number, value: string, duration: string, origin?: string];

function decision([id, value, duration, origin = "cscli"]: Given): Decision {
  const scope = value.includes("/") ? "Range" : "Ip";
  const reading = readDecision({ id, value, duration, origin, scope, type: "ban", scenario: "a/b" }, 64);
  if (reading.kind !== "ban") throw new Error(reading.kind);
  return reading.decision;
}

function run<T>(work: Generator<void, T, void>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function says(isFull: boolean, { came = [], went = [] }: { came?: readonly Given[]; went?: readonly Given[] }) {
  const answer = new Answer(isFull, own, nowMs);
  for (const one of came) answer.add("new", { kind: "ban", decision: decision(one) });
  for (const one of went) answer.add("deleted", { kind: "ban", decision: decision(one) });
  return { ...run(remedy.apply(answer, () => nowMs)), answer };
}

function table(): Record<string, string> {
  const rows = [...enforcement.bans.all()].map((ban) => {
    const claims = claimsOf(ban, nowMs).map(({ origin, untilMs }) => `${origin} ${(untilMs - nowMs) / 1000}`);
    return [ban.prefix.text, claims.join(", ")] as const;
  });
  return Object.fromEntries(rows);
}

function ban(source: string, origin: Origin, forMs = 600_000): void {
  enforcement.ban({ prefix: requirePrefix(source), reason: "http", origin, untilMs: nowMs + forMs }, nowMs);
}

describe("CrowdSec's decisions", () => {
  test("repeated they change nothing, and are told once", () => {
    for (let turn = 0; turn < 3; turn++)
      says(turn === 0, {
        came: [
          [1, "203.0.113.7", "1h"],
          [2, "198.51.100.0/24", "1h"],
        ],
      });
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 3600", "198.51.100.0/24": "crowdsec 3600" });
    expect(changes).toHaveLength(2);
    for (let turn = 0; turn < 3; turn++) expect(says(false, { went: [[3, "203.0.113.99", "-1s"]] }).unsure).toEqual([]);
    expect(remedy.counts).toEqual({ taken: 2, lifted: 0 });
  });

  test("a full answer ends what is not in it, also of an earlier run; other claims stay", () => {
    ban("203.0.113.1", "crowdsec");
    ban("203.0.113.2", "crowdsec");
    ban("203.0.113.2", "operator");
    says(true, { came: [[1, "203.0.113.3", "1h"]] });
    expect(table()).toEqual({ "203.0.113.2": "operator 600", "203.0.113.3": "crowdsec 3600" });
    says(true, {});
    expect(table()).toEqual({ "203.0.113.2": "operator 600" });
  });

  test("a full answer ends nothing before what is new of it holds: a network for its hosts, or the reverse", () => {
    const host = requirePrefix("198.51.100.7");
    const isBanned = () => [...enforcement.bans.prefixes()].some((banned) => contains(banned, host));
    says(true, { came: [[1, host.text, "1h"]] });
    const gaps: BanChange[] = [];
    enforcement.follow({ bansChanged: (all) => void (isBanned() || gaps.push(...all)) });
    says(true, { came: [[2, "198.51.100.0/24", "1h"]] });
    says(true, { came: [[3, host.text, "1h"]] });
    expect([Object.keys(table()), gaps]).toEqual([[host.text], []]);
  });

  test("what a full answer ends makes room for what is new of it", () => {
    room = (_prefix, asked) => enforcement.bans.size + asked < 2;
    says(true, {
      came: [
        [1, "198.51.100.1", "1h"],
        [2, "198.51.100.2", "1h"],
      ],
    });
    says(true, {
      came: [
        [3, "198.51.100.3", "1h"],
        [4, "198.51.100.4", "1h"],
        [5, "198.51.100.5", "1h"],
      ],
    });
    expect([Object.keys(table()), remedy.refused.room]).toEqual([["198.51.100.3", "198.51.100.4"], 1]);
  });

  test.each([1, 30])("%d that are over make room for what is new of the same answer", (many) => {
    const ends = Array.from({ length: many }, (_, index): Given => [1 + index, `198.51.100.${1 + index}`, "1s"]);
    const came = ends.map(([id]): Given => [100 + id, `203.0.113.${id}`, "1h"]);
    says(true, { came: ends });
    room = (_prefix, asked) => enforcement.bans.size + asked < many;
    says(false, { came: [...came, [300, "203.0.113.200", "1h"], [301, "192.0.2.7", "1h"]], went: ends });
    expect(Object.keys(table())).toEqual(came.map(([, source]) => source));
    expect(remedy.refused).toMatchObject({ room: 1, neverBan: 1 });
  });

  test("what is prolonged takes no room from what is new", () => {
    room = (_prefix, asked) => enforcement.bans.size + asked < 3;
    says(true, {
      came: [
        [1, "198.51.100.1", "1h"],
        [2, "198.51.100.2", "1h"],
      ],
    });
    says(false, {
      came: [
        [3, "198.51.100.1", "2h"],
        [4, "198.51.100.2", "2h"],
        [5, "198.51.100.3", "1h"],
      ],
    });
    expect([Object.keys(table()).length, remedy.refused.room]).toEqual([3, 0]);
  });

  test("one that was deleted early makes room for what is new of the same answer, and for no more than that", () => {
    const first: Given = [1, "198.51.100.1", "1h"];
    says(true, { came: [first] });
    room = (_prefix, asked) => enforcement.bans.size + asked < 1;
    const came: Given[] = [
      [2, "198.51.100.2", "1h"],
      [3, "198.51.100.3", "1h"],
    ];
    const { unsure } = says(false, { came, went: [first] });
    says(false, { came });
    expect([Object.keys(table()), remedy.refused.room]).toEqual([["198.51.100.1"], 2]);
    for (const one of unsure) run(remedy.replace(one, [], () => nowMs));
    expect([Object.keys(table()), remedy.refused.room]).toEqual([["198.51.100.2"], 1]);
    room = () => true;
    says(false, { came });
    expect([Object.keys(table()).length, remedy.refused.room]).toEqual([2, 0]);
  });

  test("the end of a range leaves single addresses inside alone", () => {
    says(true, {
      came: [
        [1, "198.51.100.0/24", "1h"],
        [2, "198.51.100.7", "1h"],
      ],
    });
    says(true, { came: [[2, "198.51.100.7", "1h"]] });
    expect(table()).toEqual({ "198.51.100.7": "crowdsec 3600" });
  });

  test("a decision that is prolonged or shortened is followed", () => {
    says(true, { came: [[1, "203.0.113.7", "1h"]] });
    says(false, { came: [[2, "203.0.113.7", "2h"]] });
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 7200" });
    says(true, { came: [[3, "203.0.113.7", "5m"]] });
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 300" });
    expect(remedy.counts).toEqual({ taken: 1, lifted: 0 });
  });

  test("one that is deleted early is asked about, one that is over is not", () => {
    says(true, {
      came: [
        [1, "203.0.113.7", "1h"],
        [2, "203.0.113.8", "1s"],
      ],
    });
    const { unsure } = says(false, {
      went: [
        [1, "203.0.113.7", "-1s"],
        [2, "203.0.113.8", "-1s"],
        [9, "203.0.113.9", "-1s"],
      ],
    });
    expect(unsure.map(({ value }) => value)).toEqual(["203.0.113.7"]);
    expect(table()["203.0.113.7"]).toBe("crowdsec 3600");
    const [asked] = unsure;
    if (asked === undefined) throw new Error();
    run(
      remedy.replace(asked, [decision([3, "203.0.113.7", "5m"]), decision([4, "203.0.113.7", "9m", own])], () => nowMs),
    );
    expect(table()["203.0.113.7"]).toBe("crowdsec 300");
    // It is said again.
    expect(says(false, { went: [[1, "203.0.113.7", "-2s"]] }).unsure).toEqual([]);
    run(remedy.replace(asked, [], () => nowMs));
    expect(table()["203.0.113.7"]).toBeUndefined();
  });

  test("a decision that takes another's place in the same answer", () => {
    says(true, { came: [[1, "203.0.113.7", "1h"]] });
    expect(says(false, { came: [[2, "203.0.113.7", "2h"]], went: [[1, "203.0.113.7", "-1s"]] }).unsure).toEqual([]);
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 7200" });
  });

  test("own pushes are left out, and their ends are known", () => {
    const { answer } = says(true, {
      came: [
        [1, "203.0.113.7", "1h", own],
        [2, "203.0.113.8", "1h", "ttgate:web-2"],
      ],
    });
    expect(table()).toEqual({ "203.0.113.8": "crowdsec 3600" });
    expect([...answer.own]).toEqual([["203.0.113.7", nowMs + 3_600_000]]);
    expect(says(false, { went: [[1, "203.0.113.7", "-1s", own]] }).unsure).toEqual([]);
  });

  test("what is lifted here stays so until there is a newer decision, or the old one is gone", () => {
    says(true, { came: [[5, "203.0.113.7", "1h"]] });
    lifted(enforcement, [requirePrefix("203.0.113.7")], nowMs);
    says(true, { came: [[5, "203.0.113.7", "1h"]] });
    says(false, { came: [[4, "203.0.113.7", "2h"]] });
    expect(table()).toEqual({});
    says(false, { came: [[6, "203.0.113.7", "3h"]] });
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 10800" });
    lifted(enforcement, [requirePrefix("203.0.113.7")], nowMs);
    says(true, {});
    // Numbers begin anew with a new database.
    says(true, { came: [[1, "203.0.113.7", "1h"]] });
    expect(table()).toEqual({ "203.0.113.7": "crowdsec 3600" });
  });

  test("never-ban list and room win, and what was left out comes when there is room", () => {
    room = (_, asked) => enforcement.bans.size + asked < 2;
    const all = [1, 2, 3, 4].map((id): Given => [id, `203.0.113.${id}`, "1h"]);
    says(true, { came: [...all, [9, "192.0.2.7", "1h"], [10, "192.0.0.0/16", "1h"]] });
    expect(Object.keys(table())).toEqual(["203.0.113.1", "203.0.113.2"]);
    expect(remedy.refused).toMatchObject({ neverBan: 2, room: 2 });
    room = () => true;
    says(true, { came: all });
    expect(Object.keys(table())).toHaveLength(4);
    expect(remedy.refused).toMatchObject({ neverBan: 0, room: 0 });
  });

  test("many at a time come in slices, and are not told one by one", () => {
    const many = Array.from({ length: 5000 }, (_, n): Given => [n, `10.0.${n >> 8}.${n & 255}`, "1h"]);
    const answer = new Answer(true, own, nowMs);
    for (const one of many) answer.add("new", { kind: "ban", decision: decision(one) });
    expect([...remedy.apply(answer, () => nowMs)].length).toBeGreaterThan(40);
    expect(enforcement.bans.size).toBe(5000);
    expect(changes.every((change) => "isQuiet" in change && change.isQuiet)).toBe(true);
    says(true, {});
    expect(enforcement.bans.size).toBe(0);
    expect(remedy.counts).toEqual({ taken: 5000, lifted: 5000 });
  });

  test("more changes than are followed one by one are refused whole", () => {
    const answer = new Answer(false, own, nowMs);
    const reading = { kind: "ban", decision: decision([1, "203.0.113.7", "1h"]) } as const;
    for (let count = 0; count < 100_000; count++) answer.add("deleted", reading);
    expect(() => answer.add("deleted", reading)).toThrow("more changes");
  });
});

describe("what CrowdSec is told", () => {
  test.each(["sniffer", "strikes", "kernel", "server", "operator", "fail2ban"] as const)("bans by %s", (origin) => {
    ban("203.0.113.7", origin);
    expect(outbox.take(9)).toEqual([["203.0.113.7", "push"]]);
    lifted(enforcement, [requirePrefix("203.0.113.7")], nowMs);
    expect(outbox.take(9)).toEqual([["203.0.113.7", "delete"]]);
  });

  test.each(["crowdsec", "gate:b", "list:drop", "map", "foreign"] as const)("not those by %s", (origin) => {
    ban("203.0.113.7", origin);
    lifted(enforcement, [requirePrefix("203.0.113.7")], nowMs);
    expect(outbox.waiting).toBe(0);
  });

  test("nothing that holds at one gate alone, nor what was found in the map", () => {
    const untilMs = nowMs + 600_000;
    const prefix = requirePrefix("203.0.113.7");
    enforcement.ban({ prefix, reason: "http", origin: "sniffer", untilMs, gate: "a", isLocal: true }, nowMs);
    enforcement.adopt(
      [{ prefix: requirePrefix("203.0.113.8"), expiresMs: untilMs, origin: "sniffer", reason: "http" } as never],
      nowMs,
    );
    expect(outbox.waiting).toBe(0);
  });

  test("its own end is not told, the end by the never-ban list is", () => {
    ban("203.0.113.7", "sniffer", 1000);
    ban("203.0.113.8", "sniffer");
    outbox.take(9);
    nowMs += 2000;
    enforcement.sweep(nowMs);
    expect(outbox.waiting).toBe(0);
    finished(enforcement.protect([{ prefix: requirePrefix("203.0.113.8"), why: "--allow" }], () => nowMs));
    expect(outbox.take(9)).toEqual([["203.0.113.8", "delete"]]);
  });

  test("what it does not have is told again; what lasts as long there is not", () => {
    ban("203.0.113.1", "sniffer");
    ban("203.0.113.2", "sniffer");
    ban("203.0.113.3", "operator", Number.POSITIVE_INFINITY);
    ban("203.0.113.4", "crowdsec");
    for (const [source] of outbox.take(9)) outbox.done(source, nowMs);
    const ends = new Map([
      ["203.0.113.2", nowMs + 599_000],
      ["203.0.113.3", nowMs + 10 * 365 * 86_400_000],
    ]);
    run(
      outbox.compare(
        (source) => ends.get(source) ?? 0,
        nowMs + 5000,
        () => nowMs,
      ),
    );
    expect(outbox.take(9)).toEqual([["203.0.113.1", "push"]]);
  });

  test("what is being told, or was told a moment before it answered, is not told twice", () => {
    ban("203.0.113.1", "sniffer");
    const [[source] = [""]] = outbox.take(9);
    nowMs += 60_000;
    const isComplete = (answeredMs: number) => {
      const comparing = outbox.compare(
        () => 0,
        answeredMs,
        () => nowMs,
      );
      for (;;) {
        const { done, value } = comparing.next();
        if (done === true) return value;
      }
    };
    expect([isComplete(nowMs), outbox.waiting]).toEqual([false, 0]);
    outbox.done(source, nowMs);
    expect([isComplete(nowMs + 1000), outbox.waiting]).toEqual([false, 0]);
    // It has an answer without it although it was told.
    expect([isComplete(nowMs + 5000), outbox.waiting]).toEqual([true, 1]);
    outbox.giveBack(outbox.take(9).map(([one]) => [one, "push"]));
    expect(outbox.waiting).toBe(1);
  });

  test("never more waits than there is room for; lost lifts are counted", () => {
    for (let n = 0; n < 20_000; n++) outbox.mark(`10.0.${n >> 8}.${n & 255}`, "push");
    outbox.mark("203.0.113.7", "push");
    outbox.mark("203.0.113.7", "delete");
    outbox.mark("10.0.0.1", "delete");
    expect([outbox.waiting, outbox.lost]).toEqual([20_000, 1]);
    const taken = outbox.take(2);
    outbox.mark("10.0.0.0", "delete");
    outbox.giveBack(taken);
    expect(outbox.take(30_000).filter(([, doing]) => doing === "delete")).toHaveLength(2);
  });
});
