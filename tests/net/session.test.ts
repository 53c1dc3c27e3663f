// SPDX-License-Identifier: Apache-2.0
// The life of a connection up to the relay, and every way in which it ends before.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Fence } from "../../src/core/bans/fence.ts";
import { freePort } from "../harness/ports.ts";
import { sleep, waitFor } from "../harness/wait.ts";
import {
  Bed,
  digestOf,
  friendly,
  host,
  kernelState,
  openSockets,
  type Peer,
  pattern,
  pour,
  request,
  Server,
  standstill,
  underWayBytes,
  until,
} from "./bed.ts";

setDefaultTimeout(20_000);

/** Holds connects back until the test lets them go. */
class Barrier {
  waiting = 0;
  readonly #open = Promise.withResolvers<void>();
  readonly dial: NonNullable<Parameters<typeof Bed.open>[0]["dial"]> = (real) => async (to, events, dialler) => {
    this.waiting++;
    await this.#open.promise;
    real(to, events, dialler);
  };

  lift(): void {
    this.#open.resolve();
  }
}

describe("a stranger", () => {
  test("is in the table before its connection is reset", async () => {
    await using server = await Server.open();
    const seen: { when: string; state: string | undefined; banned: boolean }[] = [];
    let clientPort = 0;
    const look = (when: string) => {
      const state = kernelState(bed.port, clientPort);
      seen.push({ when, state, banned: bed.bans.size > 0 });
    };
    await using bed = await Bed.open({
      upstreams: [{ host, port: server.port }],
      onBan: () => look("before"),
      onLog: () => look("banned"),
    });
    const stranger = await bed.accepted();
    clientPort = stranger.socket.localPort ?? 0;
    stranger.send(request);
    await until("a reset", () => stranger.wasReset);
    look("reset");
    expect(seen).toEqual([
      { when: "before", state: "01", banned: false },
      { when: "banned", state: "01", banned: true },
      { when: "reset", state: undefined, banned: true },
    ]);
    expect(server.peers).toEqual([]);
  });

  test("is kept with what it said, escaped in the log", async () => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }] });
    const stranger = await bed.accepted("127.3.0.1");
    const clientPort = stranger.socket.localPort ?? 0;
    stranger.send(`GET /\u001b[2J\r\n${"x".repeat(200)}`);
    await until("a reset", () => stranger.wasReset);
    const [ban] = bed.bans.all();
    expect(ban).toMatchObject({ reason: "http", origin: "sniffer", prefix: { text: "127.3.0.1" } });
    expect(ban?.evidence).toMatchObject({
      clientAddress: "127.3.0.1",
      clientPort,
      gatePort: bed.port,
    });
    expect(Buffer.from(ban?.evidence?.firstBytes ?? []).toString()).toStartWith("GET /\u001b[2J\r\nxxx");
    expect(ban?.evidence?.firstBytes.length).toBe(64);
    expect(bed.log.join()).toContain("\\x1b[2J\\r\\n");
    expect(bed.log.join()).not.toMatch(/[\p{Cc}]/u);
  });

  test("loses all its other connections, both legs; nobody else loses one", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
    const friends: { client: Peer; behind: Peer }[] = [];
    for (const from of ["127.3.0.1", "127.3.0.1", "127.3.0.2"]) {
      const client = await bed.accepted(from);
      client.send(friendly());
      friends.push({ client, behind: await server.peer(friends.length) });
    }
    const undecided = await bed.accepted("127.3.0.1");
    const stranger = await bed.accepted("127.3.0.1");
    stranger.send(request);
    for (const peer of [
      stranger,
      undecided,
      ...friends.slice(0, 2).flatMap(({ client, behind }) => [client, behind]),
    ]) {
      await until("a reset", () => peer.wasReset);
    }
    expect(bed.counters).toMatchObject({ cut: 3, foreign: 1, bansTotal: 1 });
    expect([bed.sessions.size, bed.sessions.ofSource("127.3.0.2")]).toEqual([1, 1]);
    const [, , other] = friends;
    other?.client.send("still here");
    await other?.behind.got(10);
    expect(other?.client.closed).toBe(false);
  });

  test("is refused while its time-out runs, and let in after it", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
    const stranger = await bed.accepted("127.3.0.1");
    stranger.send(request);
    await until("a reset", () => stranger.wasReset);
    const again = await bed.client("127.3.0.1");
    await until("a refusal", () => again.wasReset);
    expect(bed.counters).toMatchObject({ refusedBanned: 1, accepted: 2 });
    const other = await bed.accepted("127.3.0.2");
    other.send(friendly());
    await server.peer(0);
    bed.pass(60_001);
    const later = await bed.accepted("127.3.0.1");
    later.send(friendly());
    await server.peer(1);
    expect(bed.counters.refusedBanned).toBe(1);
  });

  test("that comes byte by byte is known before the server hears of it", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
    const stranger = await bed.accepted();
    for (const byte of request) {
      if (stranger.wasReset) break;
      stranger.send(Uint8Array.of(byte));
      await sleep(1);
    }
    await until("a reset", () => stranger.wasReset);
    expect([bed.counters.foreign, server.peers.length]).toEqual([1, 0]);
  });

  test("of a dry run is relayed, counted and not banned", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dryRun: true });
    const stranger = await bed.accepted();
    stranger.send(request);
    const behind = await server.peer();
    await behind.got(request.length);
    behind.send("HTTP/1.1 400\r\n\r\n");
    await stranger.got(16);
    expect(behind.digest()).toBe(digestOf(request));
    expect(bed.counters).toMatchObject({ foreign: 1, relayed: 1, refusedBanned: 0, bansTotal: 1 });
    expect([...bed.counters.bansByProtocol]).toEqual([["http", 1]]);
    expect([bed.bans.size, bed.log.length]).toEqual([1, 1]);
    expect(bed.log[0]).toMatch(/^Would ban 127\.0\.0\.1 for 1m: it spoke http .*\(dry run\)$/);
  });

  test("of a dry run would have been refused the next time: counted as that and as nothing else, and relayed", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dryRun: true });
    for (let visit = 0; visit < 3; visit++) {
      const stranger = await bed.accepted();
      stranger.send(request);
      await (await server.peer(visit)).got(request.length);
    }
    expect(bed.counters).toMatchObject({ accepted: 3, foreign: 1, refusedBanned: 2, relayed: 3, bansTotal: 1, cut: 0 });
    bed.pass(61_000);
    const back = await bed.accepted();
    back.send(request);
    await (await server.peer(3)).got(request.length);
    expect(bed.counters).toMatchObject({ accepted: 4, foreign: 2, refusedBanned: 2, relayed: 4, bansTotal: 2 });
  });

  test("of a dry run keeps its other connections, which are counted as those that a ban would have cut", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dryRun: true });
    const friend = await bed.accepted();
    friend.send(friendly());
    const behind = await server.peer();
    const stranger = await bed.accepted();
    stranger.send(request);
    await (await server.peer(1)).got(request.length);
    expect(bed.counters).toMatchObject({ foreign: 1, cut: 1, bansTotal: 1 });
    behind.send("still here");
    await friend.got(10);
    expect(friend.closed).toBe(false);
  });
});

describe("a dry run", () => {
  test("relays also who does not say enough, and counts it as undecided", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dryRun: true, firstPacketMs: 1000 });
    const slow = await bed.accepted();
    slow.send(Uint8Array.of(0x93));
    await sleep(20);
    bed.pass(2100);
    await (await server.peer()).got(1);
    expect(bed.counters).toMatchObject({ undecided: 1, relayed: 1, foreign: 0, bansTotal: 0 });
  });
});

describe("who does not say enough", () => {
  test("is closed at the deadline, never before it, and not banned", async () => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], firstPacketMs: 5000 });
    const silent = await bed.accepted();
    const slow = await bed.accepted();
    slow.send(Uint8Array.of(0x93));
    await sleep(20);
    bed.pass(4900);
    await sleep(20);
    expect([silent.ended, slow.ended, bed.sessions.size]).toEqual([false, false, 2]);
    bed.pass(1200);
    for (const peer of [silent, slow]) await until("the end", () => peer.ended || peer.wasReset);
    await bed.idle();
    expect(bed.counters).toMatchObject({ undecided: 2, foreign: 0, bansTotal: 0 });
    expect(bed.bans.size).toBe(0);
  });

  test.each([0, 1, 7])("and sends FIN after %d bytes is closed and not banned", async (count) => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }] });
    const brief = await bed.accepted();
    // Not a line end, which alone and followed by silence is text.
    brief.socket.end(Uint8Array.of(0x93, 0xe1, 0x07, 0xbc, 0x5a, 0xd8, 0x40).subarray(0, count));
    await until("the end", () => brief.ended);
    await bed.idle();
    expect([brief.errorCode, bed.bans.size]).toEqual([undefined, 0]);
    expect(bed.counters).toMatchObject({ undecided: 1, foreign: 0, relayed: 0 });
  });

  test.each([0, 1])("and resets after %d bytes is counted once and not banned", async (count) => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }] });
    const brief = await bed.accepted();
    if (count > 0) brief.send(friendly().subarray(0, count));
    await sleep(20);
    brief.socket.resetAndDestroy();
    await bed.idle();
    bed.pass(60_000);
    expect(bed.counters).toMatchObject({ accepted: 1, undecided: 1, foreign: 0 });
    expect(bed.bans.size).toBe(0);
  });

  test("a friend's deadline is off once it is known", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], firstPacketMs: 1000 });
    const friend = await bed.accepted();
    friend.send(friendly());
    const behind = await server.peer();
    bed.pass(600_000);
    friend.send("more");
    await behind.got(friendly().length);
    expect([friend.closed, bed.counters.undecided]).toEqual([false, 0]);
  });
});

describe("limits", () => {
  test("at the limit the longest undecided of equal sources makes room", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], maxConnections: 3 });
    const friend = await bed.accepted();
    friend.send(friendly());
    await server.peer();
    const oldest = await bed.accepted();
    const other = await bed.accepted();
    const newest = await bed.accepted();
    await until("the end of the oldest", () => oldest.ended || oldest.wasReset);
    expect([friend.closed, other.closed, newest.closed, bed.sessions.size]).toEqual([false, false, false, 3]);
    expect(bed.counters).toMatchObject({ undecided: 1, refusedFull: 0, bansTotal: 0 });
    newest.send(friendly());
    await server.peer(1);
  });

  test("a slow friend stays while silent newcomers from few sources fill the gate twice", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], maxConnections: 100 });
    const friend = await bed.accepted("127.4.0.1");
    for (let count = 0; count < 200; count++) await bed.client(`127.5.0.${1 + (count % 4)}`);
    await until("all accepted", () => bed.counters.accepted === 201);
    expect([friend.closed, bed.sessions.size]).toEqual([false, 100]);
    friend.send(friendly());
    await server.peer();
    expect(bed.counters).toMatchObject({ relayed: 1, refusedFull: 0, undecided: 101, bansTotal: 0 });
  });

  test("with friends alone at the limit a newcomer is reset, and nobody banned", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], maxConnections: 2 });
    for (const index of [0, 1]) {
      (await bed.accepted()).send(friendly());
      await server.peer(index);
    }
    const late = await bed.client();
    await until("a reset", () => late.wasReset);
    expect(bed.counters).toMatchObject({ accepted: 3, refusedFull: 1, undecided: 0, bansTotal: 0 });
    server.peers[0]?.socket.resetAndDestroy();
    await until("room", () => bed.sessions.size === 1);
    (await bed.accepted()).send(friendly());
    await server.peer(2);
  });

  test("who is pushed out may turn out a friend: then the limit holds all the same", async () => {
    await using server = await Server.open();
    await using bed = await Bed.open({
      upstreams: [{ host, port: server.port }],
      maxConnections: 2,
      // Says accept of whatever there is when no more comes, as a profile may.
      sniffer: {
        profile: "late",
        prefixBytes: 64,
        protocols: [],
        sniff: (bytes, ended) => ({ kind: ended && bytes.length > 0 ? "accept" : "more" }),
      },
    });
    const clients: Peer[] = [];
    for (let count = 0; count < 8; count++) {
      const client = await bed.client();
      client.send("?");
      clients.push(client);
      await sleep(10);
      expect(bed.sessions.size).toBeLessThanOrEqual(2);
    }
    expect(bed.counters.relayed).toBeLessThanOrEqual(2);
    expect(bed.counters.refusedFull).toBeGreaterThan(0);
  });

  test("one source has its share, the others have theirs", async () => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], maxPerSource: 2 });
    const first = await bed.accepted("127.3.0.1");
    await bed.accepted("127.3.0.1");
    const third = await bed.client("127.3.0.1");
    await until("a reset", () => third.wasReset);
    await bed.accepted("127.3.0.2");
    expect([bed.sessions.ofSource("127.3.0.1"), bed.sessions.ofSource("127.3.0.2")]).toEqual([2, 1]);
    expect(bed.counters).toMatchObject({ refusedFull: 1, bansTotal: 0 });
    first.socket.destroy();
    await until("room", () => bed.sessions.ofSource("127.3.0.1") === 1);
    await bed.accepted("127.3.0.1");
    expect(bed.sessions.ofSource("127.3.0.1")).toBe(2);
  });
});

describe("while the server is being connected to", () => {
  test.each(["reset", "close"] as const)("a client that leaves (%s) leaves nothing behind", async (how) => {
    await using server = await Server.open(({ socket }) => socket.on("end", () => socket.end()));
    const barrier = new Barrier();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dial: barrier.dial });
    await sleep(20);
    const before = openSockets();
    const clients = await Promise.all(Array.from({ length: 20 }, () => bed.client()));
    for (const client of clients) client.send(friendly());
    await until("the connects", () => barrier.waiting === 20);
    expect(bed.sessions.size).toBe(20);
    for (const { socket } of clients) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
    if (how === "reset") await bed.idle();
    else await sleep(50);
    barrier.lift();
    await bed.idle();
    await until("the end of everything at the server", () => server.open === 0);
    await waitFor("the last socket to go", () => openSockets() <= before);
    expect(bed.upstreams.status()).toMatchObject([{ active: 0 }]);
    expect(bed.counters.upstreamFailed).toBe(0);
  });

  test("its bytes and its FIN are kept, up to a limit, then it waits", async () => {
    await using server = await Server.open();
    const barrier = new Barrier();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dial: barrier.dial });
    const client = await bed.client();
    const [first, chunk] = [friendly(), pattern(64 * 1024)];
    client.send(first);
    await until("the connect", () => barrier.waiting === 1);
    const poured = pour(client, chunk, 1000);
    await standstill(poured);
    expect(poured.written * chunk.length).toBeLessThan(underWayBytes / 2);
    client.socket.on("drain", () => poured.written === 1000 && client.socket.end());
    barrier.lift();
    const behind = await server.peer();
    await until("everything and FIN", () => behind.ended);
    expect(behind.digest()).toBe(digestOf(first, ...Array.from({ length: 1000 }, () => chunk)));
    behind.socket.end("done");
    await until("the answer", () => client.ended);
    expect(client.received).toBe(4);
    await bed.idle();
  });

  test("a ban of its source ends it, and the server hears no word", async () => {
    await using server = await Server.open();
    const barrier = new Barrier();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], dial: barrier.dial });
    const friend = await bed.accepted("127.3.0.1");
    friend.send(friendly());
    await until("the connect", () => barrier.waiting === 1);
    const stranger = await bed.accepted("127.3.0.1");
    stranger.send(request);
    await until("a reset", () => friend.wasReset);
    barrier.lift();
    const behind = await server.peer();
    await until("the end at the server", () => behind.closed || behind.wasReset);
    expect([behind.received, bed.sessions.size, bed.counters.relayed]).toEqual([0, 0, 0]);
    expect(bed.upstreams.status()).toMatchObject([{ active: 0 }]);
  });

  test("no server at all resets the client and bans nobody", async () => {
    const port = await freePort();
    await using bed = await Bed.open({ upstreams: [{ host, port }] });
    const client = await bed.accepted();
    client.send(friendly());
    await until("a reset", () => client.wasReset);
    expect(bed.counters).toMatchObject({ upstreamFailed: 1, relayed: 0, bansTotal: 0, undecided: 0 });
    expect(bed.sessions.size).toBe(0);
  });
});

test("five thousand that come and break off leave nothing behind", async () => {
  await using server = await Server.open(({ socket }) => socket.on("data", (bytes) => void socket.write(bytes)));
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
  const first = friendly();
  const breakOff = async (number: number) => {
    const client = await bed.client();
    if (number % 5 === 1) client.send(first.subarray(0, 3));
    if (number % 5 >= 2) client.send(first);
    if (number % 5 === 3) await client.got(first.length);
    if (number % 5 === 4) client.socket.destroy();
    else client.socket.resetAndDestroy();
  };
  await breakOff(3);
  await bed.idle();
  await until("the end at the server", () => server.open === 0);
  const before = openSockets();
  for (let round = 0; round < 100; round++) {
    await Promise.all(Array.from({ length: 50 }, (_, number) => breakOff(number)));
  }
  await bed.idle();
  await waitFor("the last socket to go", () => openSockets() <= before);
  expect(bed.counters.accepted).toBe(5001);
  const { relayed, undecided, upstreamFailed, foreign, refusedFull } = bed.counters;
  expect([foreign, refusedFull, upstreamFailed]).toEqual([0, 0, 0]);
  expect(relayed).toBeGreaterThan(1000);
  expect(relayed + undecided).toBeLessThanOrEqual(5001);
  expect(bed.upstreams.status()).toMatchObject([{ active: 0, reachable: true }]);
  expect(bed.bans.size).toBe(0);
});

test("from the first bytes to the fence it is few steps, each in its place", async () => {
  await using server = await Server.open();
  let stack = "";
  const fence = {
    mapOf: () => "map",
    put() {
      stack = new Error("here").stack ?? "";
      return { kind: "enforced" };
    },
    dropMany: () => 0,
  } as unknown as Fence;
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], fence });
  const stranger = await bed.accepted();
  stranger.send(request);
  await until("a ban", () => stack !== "");
  const frames = stack.split("\n").filter((line) => line.includes("/src/"));
  const files = new Set(frames.map((line) => /src\/[\w/]+\.ts/.exec(line)?.[0]));
  // Behind this fence are four more of each: the XDP fence, its maps, one of them, the system call.
  expect([frames.length <= 6, files.size <= 6, frames]).toEqual([true, true, frames]);
});
