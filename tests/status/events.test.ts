// SPDX-License-Identifier: Apache-2.0
// `GET /events` over the real parts of a gate and a real HTTP server: what is told, to whom, and that
// followers who are slow, many or gone cost nothing.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { requirePrefix } from "../../src/core/address.ts";
import { Events } from "../../src/core/bans/events.ts";
import { Client } from "../../src/core/client.ts";
import { finished } from "../../src/core/work.ts";
import { DaemonBans } from "../../src/daemon/bans.ts";
import { runtime } from "../../src/runtime/bun.ts";
import type { HttpServer } from "../../src/runtime/types.ts";
import type { Desk } from "../../src/sources/desk.ts";
import { EventStreams } from "../../src/status/event_stream.ts";
import { type StatusSource, statusHandler } from "../../src/status/routes.ts";
import { lasting, noFriends } from "../harness/terms.ts";
import { waitFor } from "../harness/wait.ts";
import { askAt } from "./parts.ts";

const followersLimit = 16;
const evidence = {
  firstBytes: new TextEncoder().encode("GET /"),
  clientAddress: "192.0.2.1",
  clientPort: 4711,
  gatePort: 5000,
};

let clock: { nowMs: number };
let events: Events;
let streams: EventStreams;
let bans: DaemonBans;
let dryRun: DaemonBans;
let desk: Desk;
let dryDesk: Desk;
let server: HttpServer;
let url: string;

beforeEach(async () => {
  clock = { nowMs: 1_000_000 };
  const nowMs = () => clock.nowMs;
  events = new Events(1024, 7000);
  const options = {
    ...{
      maxBans: 3,
      ipv6Bits: 64,
      terms: () => lasting(60_000),
      ...noFriends,
      fence: undefined,
      events,
      nowMs,
      log: () => {},
    },
    refusalOf: () => ({ by: "kernel", why: null }) as const,
    mayAcceptProxy: () => true,
    neverBan: [{ prefix: requirePrefix("198.51.100.0/24"), why: "--allow" }],
  };
  bans = new DaemonBans({ ...options, dryRun: false });
  dryRun = new DaemonBans({ ...options, dryRun: true });
  const gate = { gate: "web", terms: () => lasting(60_000), spareFriends: () => 0, isLocal: () => false };
  desk = bans.deskOf(gate);
  dryDesk = dryRun.deskOf(gate);
  streams = new EventStreams(events, nowMs);
  const source = { follow: (id: string | undefined) => streams.open(id) } as StatusSource;
  const handler = statusHandler(source, { token: "t", closed: false });
  server = await runtime.serve({ host: "127.0.0.1", port: 0 }, handler);
  url = `http://127.0.0.1:${server.port}/events`;
});

afterEach(() => server.close());

class Following implements AsyncDisposable {
  text = "";
  ended = false;
  readonly #abort = new AbortController();

  static async open(headers: Record<string, string> = {}): Promise<Following> {
    const following = new Following();
    const reply = await fetch(url, { headers, signal: following.#abort.signal });
    expect(reply.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    void following.#read(reply);
    await following.until((text) => text.includes("retry: 2000\n\n"));
    return following;
  }

  async #read(reply: Response): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of reply.body ?? []) this.text += decoder.decode(chunk, { stream: true });
    } catch {}
    this.ended = true;
  }

  until(wanted: (text: string) => boolean, timeoutMs?: number): Promise<boolean> {
    return waitFor("a text in the stream", () => wanted(this.text), timeoutMs);
  }

  get data(): Record<string, unknown>[] {
    return [...this.text.matchAll(/^data: (.*)$/gm)].map(([, json = ""]) => JSON.parse(json));
  }

  get ids(): number[] {
    return [...this.text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  }

  /** Waits for so many. */
  async first(count: number): Promise<Record<string, unknown>[]> {
    await this.until(() => this.data.length >= count);
    return this.data;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
  }
}

function ban(number: number): void {
  bans.operator.ban(`192.0.2.${number}`, { forMs: undefined, force: false, by: "operator" });
}

test("however many follow, an event is put into words once", async () => {
  await using stack = new AsyncDisposableStack();
  const followers = await Promise.all(Array.from({ length: 5 }, () => Following.open()));
  for (const follower of followers) stack.use(follower);
  let made = 0;
  events.publish({
    ...{ type: "upstream", atMs: clock.nowMs, reachable: true, error: undefined },
    get upstream() {
      made++;
      return "192.0.2.9:5001";
    },
  });
  for (const follower of followers) {
    expect(await follower.first(1)).toMatchObject([{ type: "upstream", upstream: "192.0.2.9:5001" }]);
  }
  expect(made).toBe(1);
});

describe("what is told", () => {
  test("a ban by the sniffer, with all that belongs to it, and its end", async () => {
    await using following = await Following.open();
    desk.ban(new Client("192.0.2.1", 4711, 64), { origin: "sniffer", reason: "http", evidence });
    const [told] = await following.first(1);
    expect(told).toEqual({
      type: "ban",
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      source: "192.0.2.1",
      protocol: "http",
      firstBytes: "474554202f",
      seconds: 60,
      by: "sniffer",
      gate: "web",
      scope: "all",
      kernel: null,
    });
    expect(Math.abs(Date.now() - Date.parse(String(told?.["at"])))).toBeLessThan(5000);
    clock.nowMs += 60_000;
    bans.enforcement.sweep(clock.nowMs);
    const [, end] = await following.first(2);
    expect(end).toMatchObject({ type: "end", source: "192.0.2.1", by: "time", seconds: 0, kernel: null });
  });

  test("each kind of thing that happens", async () => {
    await using following = await Following.open();
    bans.operator.ban("192.0.2.1", { forMs: Number.POSITIVE_INFINITY, force: false, by: "operator" });
    finished(bans.operator.lift("192.0.2.1", "operator"));
    desk.ban(new Client("198.51.100.7", 1, 64), { origin: "sniffer", reason: "tls", evidence });
    dryDesk.ban(new Client("2001:db8::1", 1, 64), { origin: "sniffer", reason: "ssh", evidence });
    const lines = ["192.0.2.1", "192.0.2.2", "192.0.2.2", "2001:db8::/48"];
    bans.operator.banSlice(
      lines.map((text, index) => ({ number: index + 1, text, forMs: 1000 * (index + 1) })),
      "operator",
      false,
      [],
    );
    ban(9);
    const record = { packets: 0, bytes: 0, lastSeenMs: undefined, origin: "map", reason: "manual" } as const;
    bans.enforcement.adopt(
      [{ ...record, prefix: requirePrefix("192.0.2.2"), expiresMs: clock.nowMs + 500 }],
      clock.nowMs,
    );
    events.publish({ type: "upstream", atMs: 0, upstream: "a:1", reachable: false, error: "ECONNREFUSED" });
    const told = await following.first(11);
    const brief = ({ type, source, by, seconds, upstream }: Record<string, unknown>) =>
      `${type} ${source ?? upstream} ${by ?? ""} ${seconds ?? ""}`.trim();
    expect(told.map(brief)).toEqual([
      "ban 192.0.2.1 operator",
      "lift 192.0.2.1 operator",
      "spared 198.51.100.7 sniffer",
      "would-ban 2001:db8::/64 sniffer",
      "ban 192.0.2.1 operator 1",
      "ban 192.0.2.2 operator 3",
      "ban 2001:db8::/48 operator 4",
      "end 192.0.2.1 room 1",
      "ban 192.0.2.9 operator 60",
      "ban 192.0.2.2 map 0.5",
      "upstream a:1",
    ]);
    expect(told[2]).toMatchObject({ protocol: "tls", firstBytes: "474554202f" });
    expect(told[10]).toMatchObject({ reachable: false, error: "ECONNREFUSED" });
    expect(following.ids).toEqual(Array.from({ length: 11 }, (_, index) => 7001 + index));
  });

  test("within 100 ms", async () => {
    await using following = await Following.open();
    const delays: number[] = [];
    for (let count = 1; count <= 5; count++) {
      const startMs = performance.now();
      ban(count);
      while (following.data.filter(({ type }) => type === "ban").length < count) await Bun.sleep(1);
      delays.push(performance.now() - startMs);
    }
    expect(delays.sort((a, b) => a - b)[2]).toBeLessThan(100);
  });

  test("something every 15 s, so that nobody in between ends the stream", async () => {
    await using following = await Following.open();
    await following.until((text) => text.includes(": nothing new\n\n"), 17_000);
    ban(1);
    await following.first(1);
  }, 25_000);
});

describe("a follower", () => {
  test("who comes again hears what was in between, and from then on", async () => {
    for (let number = 1; number <= 3; number++) ban(number);
    await using again = await Following.open({ "last-event-id": "7001" });
    expect((await again.first(2)).map(({ source }) => source)).toEqual(["192.0.2.2", "192.0.2.3"]);
    finished(bans.operator.lift("192.0.2.1", "operator"));
    expect((await again.first(3)).map(({ type }) => type)).toEqual(["ban", "ban", "lift"]);
    await using fromNow = await Following.open();
    finished(bans.operator.lift("192.0.2.2", "operator"));
    expect((await fromNow.first(1)).map(({ type }) => type)).toEqual(["lift"]);
  });

  test("who comes again after the gate was started anew hears all that it still knows", async () => {
    ban(1);
    await using again = await Following.open({ "last-event-id": "6500" });
    expect((await again.first(1))[0]).toMatchObject({ source: "192.0.2.1" });
    expect(again.text).not.toContain("lost");
  });

  test.each(["-1", "x", "1.5", "12345678901234567"])("with the number %j is refused in one line", async (id) => {
    const reply = await fetch(url, { headers: { "last-event-id": id } });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toEqual({
      error: `Invalid Last-Event-ID "${id}": expected the number of an event of this gate`,
    });
    expect(streams.followers).toBe(0);
  });

  test("who reads nothing is told how much passed him by, and all that is held after it", async () => {
    await using following = await Following.open();
    for (let count = 0; count < 5000; count++) {
      events.publish({ type: "upstream", atMs: 0, upstream: `u${count}`, reachable: true, error: undefined });
    }
    await following.until((text) => text.includes('"upstream":"u4999"'));
    const lost = following.data.reduce((sum, { count }) => sum + Number(count ?? 0), 0);
    expect(following.text).toContain("event: lost\n");
    expect(lost + following.ids.length).toBe(5000);
    expect(following.ids.at(-1)).toBe(7000 + 5000);
    expect(following.ids.length).toBeLessThanOrEqual(1024);
  });

  test("beyond the limit is told when to come again; one who left makes room", async () => {
    await using stack = new AsyncDisposableStack();
    for (let count = 0; count < followersLimit; count++) stack.use(await Following.open());
    const reply = await fetch(url);
    expect(reply.status).toBe(503);
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await reply.json()).toEqual({ error: "Too many follow the events: 16, try again later" });
    await stack.disposeAsync();
    await waitFor("the end of all", () => streams.followers === 0);
    await using _again = await Following.open();
  });

  test("who has not read for half a minute makes room", async () => {
    await using stack = new AsyncDisposableStack();
    for (let count = 0; count < followersLimit; count++) stack.use(await Following.open());
    clock.nowMs += 31_000;
    await using _late = await Following.open();
    expect(streams.followers).toBe(followersLimit);
  });

  test("who hangs up in the middle is forgotten, and HEAD opens nothing", async () => {
    const head = await fetch(url, { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(streams.followers).toBe(0);
    const raw = connect({ host: "127.0.0.1", port: server.port ?? 0 });
    raw.write("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    await waitFor("a follower", () => streams.followers === 1);
    raw.destroy();
    await waitFor("its end", () => streams.followers === 0);
  });

  test("is let go when the gate stops, and nobody comes after that", async () => {
    await using following = await Following.open();
    streams.close();
    await waitFor("the end of the stream", () => following.ended);
    expect(streams.followers).toBe(0);
    expect((await fetch(url)).status).toBe(503);
  });
});

test("reading is open on loopback and closed elsewhere, as for bans", async () => {
  const source = { follow: (id: string | undefined) => streams.open(id) } as StatusSource;
  const closed = statusHandler(source, { token: "t", closed: true });
  expect((await askAt(closed, "/events")).status).toBe(401);
  const reply = await askAt(closed, "/events", { headers: { authorization: "Bearer t" } });
  expect(reply.status).toBe(200);
  await reply.body?.cancel();
  expect(streams.followers).toBe(0);
});
