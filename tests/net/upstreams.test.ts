// SPDX-License-Identifier: Apache-2.0

import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ServerAddress } from "../../src/config/endpoints.ts";
import type { UpstreamStatus } from "../../src/gate/upstream.ts";
import { Upstreams } from "../../src/gate/upstreams.ts";
import { Names } from "../../src/host/names.ts";
import { runtime } from "../../src/runtime/bun.ts";
import { freePort } from "../harness/ports.ts";
import { Bed, friendly, host, opened, openSockets, type Peer, Server, until } from "./bed.ts";
import { DeafServer } from "./deaf_server.ts";

setDefaultTimeout(20_000);

/** Answers a FIN with one. */
const polite = ({ socket }: Peer) => void socket.on("end", () => socket.end());

const silent = { data() {}, drain() {}, end() {}, close() {} };

let first: number;
let second: Server;
let bed: Bed;

beforeEach(async () => {
  first = await freePort();
  second = await Server.open(polite);
  bed = await Bed.open({
    upstreams: [
      { host, port: first },
      { host, port: second.port },
    ],
  });
});

afterEach(async () => {
  await bed[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

/** Without a gate. */
function alone(servers: readonly ServerAddress[], changed: (status: UpstreamStatus) => void = () => {}): Upstreams {
  const log = () => {};
  const policy = { balance: "failover", sendProxy: "off", rise: 1, fall: 1 } as const;
  return new Upstreams({
    servers,
    policy,
    dial: runtime.dial,
    names: new Names(log),
    log,
    isOwn: () => false,
    failed() {},
    changed,
  });
}

async function friend(): Promise<void> {
  const client = await bed.accepted();
  client.send(friendly());
}

describe("of two servers", () => {
  test("the second gets the client when the first does not answer", async () => {
    await friend();
    await (await second.peer()).got(friendly().length);
    expect(bed.upstreams.status()).toEqual([
      {
        ...{ address: `${host}:${first}`, reachable: false, error: expect.stringContaining("ECONNREFUSED") },
        ...{ active: 0, total: 0, failed: 1, resolved: undefined, unresolved: undefined },
      },
      {
        ...{ address: `${host}:${second.port}`, reachable: true, error: undefined },
        ...{ active: 1, total: 1, failed: 0, resolved: undefined, unresolved: undefined },
      },
    ]);
    expect([bed.upstreams.ready, bed.counters.relayed, bed.counters.upstreamFailed]).toEqual([true, 1, 0]);
  });

  test("the first one is told of once, when it goes and when it comes", async () => {
    for (const index of [0, 1, 2]) {
      await friend();
      await second.peer(index);
    }
    const told = () => bed.changes.map(({ address, reachable }) => [address.endsWith(`:${first}`), reachable]);
    expect(told()).toEqual([
      [true, false],
      [false, true],
    ]);
    await using back = await Server.open(polite, first);
    await bed.upstreams.probe(bed.nowMs(), 0);
    expect(told().slice(2)).toEqual([[true, true]]);
    await friend();
    await (await back.peer(1)).got(friendly().length);
    await until("the end of the probe", () => second.open === 3);
  });

  test("both gone, a client is reset and readiness is gone", async () => {
    await second[Symbol.asyncDispose]();
    const client = await bed.accepted();
    client.send(friendly());
    await until("a reset", () => client.wasReset);
    expect([bed.upstreams.ready, bed.counters.upstreamFailed]).toEqual([false, 1]);
    expect(bed.upstreams.status().map(({ reachable }) => reachable)).toEqual([false, false]);
    second = await Server.open();
  });
});

describe("a probe", () => {
  test("asks those only of whom nothing was seen for a while, and leaves no connection", async () => {
    expect(bed.upstreams.ready).toBe(false);
    expect(bed.upstreams.status()[0]?.reachable).toBeUndefined();
    const before = openSockets();
    await bed.upstreams.probe(1000, 500);
    await second.peer(0);
    await bed.upstreams.probe(1200, 500);
    await bed.upstreams.probe(1600, 500);
    await second.peer(1);
    await until("the end of the probes", () => second.open === 0);
    expect(second.peers).toHaveLength(2);
    expect(openSockets()).toBeLessThanOrEqual(before);
    expect(bed.upstreams.status().map(({ active }) => active)).toEqual([0, 0]);
  });
});

describe("a retry", () => {
  test("asks those only that were down, and gives the first choice its clients back", async () => {
    await friend();
    await second.peer(0);
    await bed.upstreams.retry(bed.nowMs(), 0);
    expect(bed.upstreams.status()[0]?.reachable).toBe(false);
    await using back = await Server.open(polite, first);
    await bed.upstreams.retry(bed.nowMs(), 60_000);
    expect(back.peers).toHaveLength(0);
    await bed.upstreams.retry(bed.nowMs(), 0);
    await back.peer(0);
    await friend();
    await (await back.peer(1)).got(friendly().length);
    await bed.upstreams.retry(bed.nowMs(), 0);
    expect([back.peers.length, second.peers.length]).toEqual([2, 1]);
  });
});

test("a name that does not resolve is told, and is no reason to end", async () => {
  const changes: unknown[] = [];
  const upstreams = alone([{ host: "no-such-host.invalid", port: 5001 }], (status) => changes.push(status));
  await upstreams.probe(0, 0);
  const [status] = upstreams.status();
  expect(status).toMatchObject({ address: "no-such-host.invalid:5001", reachable: false });
  expect(status?.error).toMatch(/no-such-host|ENOTFOUND|EAI_AGAIN|DNS/);
  expect(status?.error).not.toMatch(/[\p{Cc}]/u);
  expect(changes).toHaveLength(1);
});

test("a server that does not answer at all is given up, and the next one gets the client", async () => {
  await using deaf = await DeafServer.open();
  const { port } = deaf;
  await using server = await Server.open();
  await using slow = await Bed.open({
    upstreams: [
      { host, port },
      { host, port: server.port },
    ],
  });
  // Clients in numbers do not fill the process with connects that nobody answers.
  const upstreams = alone([{ host, port }]);
  const many = Promise.all(Array.from({ length: 300 }, () => opened(upstreams, silent)));
  const client = await slow.accepted();
  client.send(friendly());
  const behind = await server.peer();
  await behind.got(friendly().length);
  expect(slow.upstreams.status()[0]).toMatchObject({ reachable: false, error: "no answer within 3.5 s" });

  expect((await many).every((socket) => socket === undefined)).toBe(true);
  const startedMs = performance.now();
  const unanswered = await opened(upstreams, silent);
  expect([unanswered, performance.now() - startedMs < 1000]).toEqual([undefined, true]);
});

test("a server that answers after it was given up leaves the client with the next one", async () => {
  await using late = await Server.open();
  await using next = await Server.open();
  await using bed = await Bed.open({
    upstreams: [
      { host, port: late.port },
      { host, port: next.port },
    ],
    dial: (real) => (to, events, dialler) => {
      if ("port" in to && to.port === late.port) setTimeout(() => real(to, events, dialler), 3800);
      else real(to, events, dialler);
    },
  });
  const client = await bed.accepted();
  client.send(friendly());
  const peer = await next.peer();
  const answered = await late.peer();
  await until("the end of the late one", () => answered.wasReset || answered.closed);
  peer.send("still there");
  await client.got("still there".length);
  expect([client.wasReset, bed.upstreams.status()[0]?.active]).toEqual([false, 0]);
});
