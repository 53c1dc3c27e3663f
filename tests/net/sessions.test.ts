// SPDX-License-Identifier: Apache-2.0
// The register of open connections, with sessions that only note what they are told.
import { describe, expect, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import type { Chain } from "../../src/core/chain.ts";
import { Client } from "../../src/core/client.ts";
import { finished } from "../../src/core/work.ts";
import { type LiveSession, type NewSession, Place, Sessions, type SourceSessions } from "../../src/gate/sessions.ts";

class Noted implements NewSession {
  readonly place: Place = new Place(this);
  chain: Chain<LiveSession> | undefined;
  previous: LiveSession | undefined;
  next: LiveSession | undefined;
  source: SourceSessions | undefined;
  readonly client: Client;
  readonly clientSocket = undefined;
  readonly told: string[] = [];
  isFriend = false;
  readonly #sessions: Sessions;

  constructor(sessions: Sessions, address: string, deadlineMs = 10_000) {
    this.client = new Client(address, 4711, 64);
    this.#sessions = sessions;
    sessions.add(this, deadlineMs);
  }

  deadline(): void {
    this.told.push("deadline");
  }

  endIfIdle(): void {}

  settled(): void {
    this.told.push("settled");
  }

  cut(): void {
    this.told.push("cut");
    this.#sessions.remove(this);
  }
}

test("a look at all connections goes on when one ends that is looked at", () => {
  const sessions = new Sessions(64);
  for (const deadline of Array.from({ length: 5 }, () => 10_000)) {
    sessions.decided(new Noted(sessions, "192.0.2.1", deadline), deadline);
  }
  for (const session of sessions.all()) session.cut();
  expect(sessions.size).toBe(0);
});

const addresses = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::1"];

describe("a cut", () => {
  test.each([
    ["192.0.2.1", [0, 1]],
    ["192.0.2.9", []],
    ["192.0.2.0/24", [0, 1, 2]],
    ["192.0.2.2/31", [2]],
    ["0.0.0.0/0", [0, 1, 2]],
    ["2001:db8::/64", [3, 4]],
    ["2001:db8::2", [4]],
    ["2001:db8::/126", [3, 4]],
    ["2001:db8::2/127", [4]],
    ["2001:db8::/32", [3, 4, 5]],
    ["::/64", [6]],
    ["::/0", [3, 4, 5, 6]],
  ])("of %s ends whom it covers and nobody else", (prefix, wanted) => {
    const sessions = new Sessions(64);
    const noted = addresses.map((address) => new Noted(sessions, address));
    expect(sessions.cut(requirePrefix(prefix))).toBe(wanted.length);
    const cut = noted.flatMap(({ told }, index) => (told.includes("cut") ? [index] : []));
    expect(cut).toEqual(wanted);
    expect(sessions.size).toBe(addresses.length - wanted.length);
  });

  test("of a source is no search among all", () => {
    const sessions = new Sessions(64);
    for (let number = 0; number < 20_000; number++) new Noted(sessions, `10.0.${number >> 8}.${number & 255}`);
    const startedMs = performance.now();
    for (let number = 0; number < 2000; number++) sessions.cut(requirePrefix(`10.9.${number >> 8}.${number & 255}`));
    // About 2 ms; a search would look at 40 million prefixes.
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(sessions.size).toBe(20_000);
  });

  test("of whoever meets a condition is one look at all", () => {
    const sessions = new Sessions(64);
    const noted = addresses.map((address) => new Noted(sessions, address));
    let looks = 0;
    const count = sessions.cutWhere(({ sourceText }) => {
      looks++;
      return sourceText.startsWith("192.0.2.");
    });
    expect([count, looks, sessions.size]).toEqual([3, addresses.length, addresses.length - 3]);
    expect(noted.map(({ told }) => told.length)).toEqual([1, 1, 1, 0, 0, 0, 0]);
  });

  test("of all ends all", () => {
    const sessions = new Sessions(64);
    const noted = addresses.map((address) => new Noted(sessions, address));
    sessions.cutAll();
    expect(noted.every(({ told }) => told.length === 1)).toBe(true);
    expect(sessions.size).toBe(0);
  });
});

describe("counting", () => {
  test("goes by source, and a session counts once however often it is removed", () => {
    const sessions = new Sessions(64);
    const [one, other] = [new Noted(sessions, "2001:db8::1"), new Noted(sessions, "2001:db8::2")];
    expect([sessions.size, sessions.ofSource("2001:db8::/64")]).toEqual([2, 2]);
    sessions.remove(one);
    sessions.remove(one);
    expect([sessions.size, sessions.ofSource("2001:db8::/64")]).toEqual([1, 1]);
    sessions.remove(other);
    expect([sessions.size, sessions.ofSource("2001:db8::/64")]).toEqual([0, 0]);
  });
});

describe("deadlines", () => {
  test("come once, for the undecided only, in the order of their time", () => {
    const sessions = new Sessions(64);
    const [early, late, decided] = [
      new Noted(sessions, "192.0.2.1", 1000),
      new Noted(sessions, "192.0.2.2", 5000),
      new Noted(sessions, "192.0.2.3", 1000),
    ];
    expect(sessions.toMakeRoom()).toBe(early);
    sessions.decided(decided, 1000);
    sessions.expire(999);
    expect(early.told).toEqual([]);
    sessions.expire(1000);
    sessions.expire(4999);
    expect([early.told, late.told, decided.told]).toEqual([["deadline"], [], []]);
    sessions.decided(early, 1000);
    expect(sessions.toMakeRoom()).toBe(late);
    sessions.expire(60_000);
    expect([early.told, late.told, decided.told]).toEqual([["deadline"], ["deadline"], []]);
  });
});

test("what is relayed is settled at the second look from then, once, if it is there still", () => {
  const sessions = new Sessions(64);
  const [brief, lasting] = [new Noted(sessions, "192.0.2.1"), new Noted(sessions, "192.0.2.2")];
  for (const session of [brief, lasting]) {
    sessions.decided(session, 10_000);
    sessions.relayed(session, session);
  }
  finished(sessions.settle());
  sessions.remove(brief);
  expect(lasting.told).toEqual([]);
  for (let look = 0; look < 3; look++) finished(sessions.settle());
  expect([brief.told, lasting.told]).toEqual([[], ["settled"]]);
});

test("those that settle at the same time are looked at one after the other, and may end meanwhile", () => {
  const sessions = new Sessions(64);
  const [first, second, third] = [
    new Noted(sessions, "192.0.2.1"),
    new Noted(sessions, "192.0.2.2"),
    new Noted(sessions, "192.0.2.3"),
  ];
  for (const session of [first, second, third]) {
    sessions.decided(session, 10_000);
    sessions.relayed(session, session);
  }
  finished(sessions.settle());
  const looks = sessions.settle();
  looks.next();
  expect([first.told, second.told]).toEqual([["settled"], []]);
  sessions.remove(second);
  finished(looks);
  expect([first.told, second.told, third.told]).toEqual([["settled"], [], ["settled"]]);
});
