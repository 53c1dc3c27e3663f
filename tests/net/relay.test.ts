// SPDX-License-Identifier: Apache-2.0
// What goes through: bytes, FIN and RST, both ways, as if the gate were not there.
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { sleep } from "../harness/wait.ts";
import {
  Bed,
  digestOf,
  friendly,
  host,
  type Peer,
  pattern,
  pour,
  Server,
  standstill,
  underWayBytes,
  until,
} from "./bed.ts";

setDefaultTimeout(20_000);

let server: Server;
let bed: Bed;

beforeEach(async () => {
  server = await Server.open();
  bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
});

afterEach(async () => {
  await bed[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** A relayed connection, its first packet through. */
async function relayed(): Promise<{ client: Peer; behind: Peer; first: Uint8Array }> {
  const index = server.peers.length;
  const client = await bed.client();
  const first = friendly();
  client.send(first);
  const behind = await server.peer(index);
  await behind.got(first.length);
  return { client, behind, first };
}

describe("bytes", () => {
  test("arrive unchanged from the first one", async () => {
    const { behind, first } = await relayed();
    expect(behind.digest()).toBe(digestOf(first));
    expect(bed.counters).toMatchObject({ accepted: 1, relayed: 1, foreign: 0, undecided: 0, upstreamFailed: 0 });
  });

  test("go back and forth", async () => {
    const { client, behind, first } = await relayed();
    for (let round = 0; round < 50; round++) {
      behind.send(pattern(100, round));
      await client.got(100 * (round + 1));
      client.send(pattern(10, round));
      await behind.got(first.length + 10 * (round + 1));
    }
    expect(client.digest()).toBe(digestOf(...Array.from({ length: 50 }, (_, round) => pattern(100, round))));
  });

  test("of both sides cross each other", async () => {
    const { client, behind, first } = await relayed();
    const [up, down] = [pattern(3_000_000, 1), pattern(5_000_000, 2)];
    for (let at = 0; at < down.length; at += 50_000) {
      behind.send(down.subarray(at, at + 50_000));
      client.send(up.subarray((at * 3) / 5, ((at + 50_000) * 3) / 5));
      if (at % 1_000_000 === 0) await sleep(1);
    }
    await Promise.all([client.got(down.length), behind.got(first.length + up.length)]);
    expect([client.digest(), behind.digest()]).toEqual([digestOf(down), digestOf(first, up)]);
  });

  test("of a first packet that comes byte by byte are all there", async () => {
    const client = await bed.client();
    const first = friendly();
    for (const byte of first) {
      client.send(Uint8Array.of(byte));
      await sleep(1);
    }
    const behind = await server.peer();
    await behind.got(first.length);
    expect(behind.digest()).toBe(digestOf(first));
  });

  test("right behind the first packet wait for the server and keep their order", async () => {
    const client = await bed.client();
    const [first, rest] = [friendly(), pattern(5_000_000)];
    client.send(first);
    client.send(rest);
    const behind = await server.peer();
    await behind.got(first.length + rest.length);
    expect(behind.digest()).toBe(digestOf(first, rest));
  });

  test("that the server sends of its own accord reach the client", async () => {
    server.peers.length = 0;
    const greeting = pattern(64);
    await using eager = await Server.open((peer) => peer.send(greeting));
    await using other = await Bed.open({ upstreams: [{ host, port: eager.port }] });
    const client = await other.client();
    client.send(friendly());
    await client.got(greeting.length);
    expect(client.digest()).toBe(digestOf(greeting));
  });

  test("of an IPv6 client arrive too", async () => {
    await using dual = await Bed.open({ upstreams: [{ host, port: server.port }], listenHost: "::" });
    for (const [from, to] of [
      ["::1", "::1"],
      ["127.0.0.1", "127.0.0.1"],
    ] as const) {
      const index = server.peers.length;
      const client = await dual.client(from, to);
      const first = friendly();
      client.send(first);
      const behind = await server.peer(index);
      await behind.got(first.length);
      expect([dual.sessions.ofSource("::/64"), dual.sessions.ofSource("127.0.0.1")]).toEqual(
        from === "::1" ? [1, 0] : [1, 1],
      );
    }
  });
});

describe("half-close", () => {
  const large = pattern(3_000_000);

  test("of the client leaves the way back open", async () => {
    const { client, behind } = await relayed();
    client.socket.end();
    await until("FIN at the server", () => behind.ended);
    expect(client.ended).toBe(false);
    await sleep(30);
    behind.socket.end(large);
    await until("the answer and its end", () => client.ended);
    expect(client.digest()).toBe(digestOf(large));
    await bed.idle();
    expect(client.errorCode).toBeUndefined();
    expect(behind.errorCode).toBeUndefined();
  });

  test("of the server leaves the way there open", async () => {
    const { client, behind, first } = await relayed();
    behind.socket.end("bye");
    await until("FIN at the client", () => client.ended);
    expect([client.received, behind.ended]).toEqual([3, false]);
    await sleep(30);
    client.socket.end(large);
    await until("the rest and its end", () => behind.ended);
    expect(behind.digest()).toBe(digestOf(first, large));
    await bed.idle();
    expect([client.errorCode, behind.errorCode]).toEqual([undefined, undefined]);
  });

  test("right after the first packet is kept for the server", async () => {
    const client = await bed.client();
    const first = friendly();
    client.socket.end(first);
    const behind = await server.peer();
    await until("FIN at the server", () => behind.ended);
    expect(behind.digest()).toBe(digestOf(first));
    behind.socket.end(large);
    await until("the answer and its end", () => client.ended);
    expect(client.digest()).toBe(digestOf(large));
    await bed.idle();
  });

  test("of both at once ends the connection", async () => {
    const { client, behind } = await relayed();
    client.socket.end("a");
    behind.socket.end("b");
    await until("both ends", () => client.ended && behind.ended);
    await bed.idle();
    expect([client.errorCode, behind.errorCode]).toEqual([undefined, undefined]);
    expect(bed.upstreams.status()).toMatchObject([{ active: 0 }]);
  });
});

describe("a reset", () => {
  test("of the client reaches the server", async () => {
    const { client, behind } = await relayed();
    client.socket.resetAndDestroy();
    await until("RST at the server", () => behind.wasReset);
    await bed.idle();
  });

  test("of the server reaches the client", async () => {
    const { client, behind } = await relayed();
    behind.socket.resetAndDestroy();
    await until("RST at the client", () => client.wasReset);
    await bed.idle();
  });

  test.each(["client", "server"] as const)(
    "after a half-close reaches the other end too, here of the %s",
    async (who) => {
      const { client, behind } = await relayed();
      const [from, to] = who === "client" ? [client, behind] : [behind, client];
      from.socket.end();
      await until("FIN", () => to.ended);
      from.socket.resetAndDestroy();
      // The other end may have ended too: it learns of it as soon as it writes.
      to.send("are you there?");
      await until("RST", () => to.wasReset);
      await bed.idle();
    },
  );

  test("by a server that is there no more in the middle of a transfer ends both", async () => {
    const { client, behind } = await relayed();
    behind.socket.pause();
    client.send(pattern(8_000_000));
    await sleep(50);
    behind.socket.resetAndDestroy();
    await until("RST at the client", () => client.wasReset);
    await bed.idle();
    expect(bed.upstreams.status()).toMatchObject([{ active: 0 }]);
  });
});

describe("back-pressure", () => {
  const chunk = pattern(64 * 1024);
  const chunks = 3200;

  test.each(["client", "server"] as const)(
    "a %s that stops reading stops the other end, and 200 MB arrive when it reads on",
    async (stalled) => {
      const { client, behind, first } = await relayed();
      const [slow, fast] = stalled === "client" ? [client, behind] : [behind, client];
      slow.socket.pause();
      const poured = pour(fast, chunk, chunks);
      await standstill(poured);
      expect(poured.written * chunk.length).toBeLessThan(underWayBytes);
      slow.socket.resume();
      const start = stalled === "client" ? 0 : first.length;
      await until("everything", () => slow.received === start + chunks * chunk.length, 15_000);
      const all = Array.from({ length: chunks }, () => chunk);
      expect(slow.digest()).toBe(stalled === "client" ? digestOf(...all) : digestOf(first, ...all));
    },
  );

  test("one stalled client does not hold up another", async () => {
    const { client, behind } = await relayed();
    client.socket.pause();
    pour(behind, chunk, chunks);
    const other = await relayed();
    other.behind.send(pattern(1000));
    await other.client.got(1000);
  });

  test("a stalled client that leaves frees everything", async () => {
    const { client, behind } = await relayed();
    client.socket.pause();
    pour(behind, chunk, chunks);
    await sleep(100);
    client.socket.resetAndDestroy();
    await until("RST at the server", () => behind.wasReset);
    await bed.idle();
  });
});

/** What the kernel's timer of each connection to or from these ports is for: 00 nothing, 02 keepalive. */
function timers(ports: readonly number[]): string[] {
  const named = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, "0")));
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local = "", , state]) => state === "01" && named.has(local.slice(-4)))
    .map(([, , , , , timer = ""]) => timer.slice(0, 2));
}

test("peers are asked whether they are there still once a connection has lived for a while", async () => {
  const { client, behind } = await relayed();
  const legs = [client.socket.remotePort ?? 0, behind.socket.remotePort ?? 0];
  await sleep(100);
  expect(timers(legs)).toEqual(["00", "00"]);
  for (let look = 0; look < 2; look++) bed.pass(500);
  expect(timers(legs).sort()).toEqual(["02", "02"]);
});
