// SPDX-License-Identifier: Apache-2.0
// What must never be turned away, and what is turned away without being banned: on loopback, with the
// peers in this process.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createConnection, createServer, type Socket } from "node:net";
import { RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { probe } from "../harness/probe.ts";
import { serveTapeTrack, TapeTrackClient, type TapeTrackServer } from "../harness/tapetrack.ts";
import { seal, type WireVariant } from "../harness/tapetrack_wire.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

const host = "127.0.0.1";
const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

/** A gate on a free port before a server. */
async function gateBefore(
  upstreamPort: number,
  ...args: readonly string[]
): Promise<{ gate: RunningGate; port: number }> {
  const port = await freePort();
  const gate = await RunningGate.start(["-l", `${host}:${port}`, "-u", `${host}:${upstreamPort}`, ...args]);
  return { gate, port };
}

function bytewise(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

describeWith("executable")("a gate on loopback", () => {
  let stack: AsyncDisposableStack;
  let server: TapeTrackServer;
  let gate: RunningGate;
  let port: number;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    server = stack.use(await serveTapeTrack({}));
    const started = await gateBefore(
      server.port,
      "--never-ban",
      "none",
      "--allow",
      "127.9.0.0/16",
      "--first-packet",
      "1s",
    );
    gate = stack.use(started.gate);
    port = started.port;
  });

  afterAll(() => stack.disposeAsync());

  test.each([1, 5, 16, 1000])("relays a first packet that comes in pieces of %d bytes", async (pieceBytes) => {
    using client = await TapeTrackClient.connect({ host, port, pieceBytes });
    await client.exchange("first");
    await client.exchange("second");
    await client.exchange("x".repeat(2_000_000));
  });

  test("a foreign request is known byte by byte, and none of it reaches the server", async () => {
    const from = "127.1.0.1";
    const before = server.counters.connections;
    const result = await probe({ host, port, from, send: bytewise(request), waitMs: 5000 });
    expect(result).toEqual({ outcome: "reset", received: "" });
    expect(await gate.banned(from)).toMatchObject({ protocol: "http", source: from });
    expect((await probe({ host, port, from, waitMs: 5000 })).outcome).toBe("reset");
    expect(server.counters.connections).toBe(before);
  });

  test("a ban ends the source's other connections, and nobody else's", async () => {
    const from = "127.1.0.2";
    using doomed = await TapeTrackClient.connect({ host, port, localAddress: from });
    using other = await TapeTrackClient.connect({ host, port, localAddress: "127.1.0.3" });
    await doomed.exchange("before");
    await other.exchange("before");
    await probe({ host, port, from, send: [request], waitMs: 5000 });
    await expect(doomed.exchange("after")).rejects.toThrow();
    await other.exchange("after");
  });

  test("an allowed source is turned away and not banned", async () => {
    const from = "127.9.1.1";
    const before = await gate.status();
    expect((await probe({ host, port, from, send: [request], waitMs: 5000 })).outcome).toBe("reset");
    const after = await gate.until(
      "a spared source",
      ({ connections }) => connections.spared > before.connections.spared,
    );
    expect(after.bans.total).toBe(before.bans.total);
    using client = await TapeTrackClient.connect({ host, port, localAddress: from });
    await client.exchange("still welcome");
  });

  test.each([
    ["nothing, then FIN", [], true],
    ["nothing at all", [], false],
    ["ten random bytes, then FIN", [seal(new Uint8Array(0), "bare").subarray(0, 10)], true],
    ["ten random bytes, then silence", [seal(new Uint8Array(0), "bare").subarray(0, 10)], false],
  ] as const)("%s is closed without a ban", async (_name, send, fin) => {
    const from = "127.1.0.4";
    const before = await gate.status();
    const result = await probe({ host, port, from, send, fin, waitMs: 8000 });
    expect(result.outcome).not.toBe("open");
    const after = await gate.until(
      "an undecided connection",
      ({ connections }) => connections.undecided > before.connections.undecided,
    );
    expect(after.bans.total).toBe(before.bans.total);
    expect(await gate.ban(from)).toBeUndefined();
  });

  test("the server met no stranger", () => {
    expect(server.counters).toMatchObject({ strangers: 0, strangerBytes: undefined });
  });
});

describeWith("executable")("the other circumstances", () => {
  test.each<WireVariant>(["bare", "length"])("both forms of the wire pass, here: %s", async (variant) => {
    await using server = await serveTapeTrack({ variant });
    const { gate, port } = await gateBefore(server.port, "--never-ban", "none");
    await using _gate = gate;
    await Promise.all(
      Array.from({ length: 100 }, async (_, number) => {
        using client = await TapeTrackClient.connect({ host, port, variant, localAddress: `127.2.0.${number + 1}` });
        await client.exchange(`volume ${number}`);
      }),
    );
    const { bans, connections } = await gate.status();
    expect({ total: bans.total, relayed: connections.relayed }).toEqual({ total: 0, relayed: 100 });
    expect(server.counters).toMatchObject({ packets: 100, strangers: 0 });
  });

  test("a dry run relays everybody and counts whom it would have banned", async () => {
    await using server = await serveTapeTrack({});
    const { gate, port } = await gateBefore(server.port, "--never-ban", "none", "--dry-run");
    await using _gate = gate;
    await probe({ host, port, from: "127.1.0.1", send: [request], waitMs: 3000 });
    await waitFor("the stranger at the server", () => server.counters.strangers === 1);
    expect(server.counters.strangerBytes).toBe(Buffer.from(request).toString("hex"));
    const { bans, connections, dryRun } = await gate.status();
    expect(bans).toMatchObject({ active: 1, total: 1, byProtocol: { http: 1 } });
    expect({ dryRun, foreign: connections.foreign }).toEqual({ dryRun: true, foreign: 1 });
    using client = await TapeTrackClient.connect({ host, port, localAddress: "127.1.0.1" });
    await client.exchange("not banned");
    const { connections: after } = await gate.status();
    expect(after).toMatchObject({ accepted: 2, relayed: 2, foreign: 1, refusedBanned: 1, cut: 0 });
    expect(await gate.bans()).toMatchObject([{ source: "127.1.0.1", protocol: "http" }]);
  });

  test("nobody on loopback is banned unless it is asked for", async () => {
    await using server = await serveTapeTrack({});
    const { gate } = await gateBefore(server.port, "--allow", "2001:db8::/32");
    await using _gate = gate;
    const { neverBan } = await gate.status();
    expect(neverBan).toContainEqual({ prefix: "2001:db8::/32", why: "--allow" });
    expect(neverBan).toContainEqual({ prefix: "127.0.0.0/8", why: "loopback" });
    expect(neverBan).toContainEqual({ prefix: "::1", why: "loopback" });
  });

  test("without an upstream the client is reset, readiness is red, and nobody is banned", async () => {
    const upstreamPort = await freePort();
    const { gate, port } = await gateBefore(upstreamPort, "--never-ban", "none");
    await using _gate = gate;
    const packet = seal(new Uint8Array(100), "bare");
    expect((await probe({ host, port, send: [packet], waitMs: 8000 })).outcome).toBe("reset");
    const red = await gate.fetch("/readyz");
    expect(red.status).toBe(503);
    expect(JSON.stringify(await red.json())).toContain(`127.0.0.1:${upstreamPort}`);
    expect((await gate.fetch("/healthz")).status).toBe(200);
    const { bans, connections } = await gate.status();
    expect({ total: bans.total, failed: connections.upstreamFailed }).toEqual({ total: 0, failed: 1 });

    await using server = await serveTapeTrack({ port: upstreamPort });
    await waitFor("readiness with the server back", async () => (await gate.fetch("/readyz")).status === 200, 15_000);
    using client = await TapeTrackClient.connect({ host, port });
    await client.exchange("back again");
    expect(server.counters.strangers).toBe(0);
  });
});

describeWith("executable")("half-close", () => {
  const large = 3_000_000;

  interface Peer {
    readonly socket: Socket;
    readonly seen: { count: number; ended: boolean };
  }

  function peerOf(socket: Socket): Peer {
    const seen = { count: 0, ended: false };
    socket.on("data", (bytes) => {
      seen.count += bytes.length;
    });
    socket.on("end", () => {
      seen.ended = true;
    });
    socket.on("error", () => {});
    return { socket, seen };
  }

  /** A server that hands the first connection that says something to the test. */
  async function rawServer(): Promise<{ port: number; accepted: Promise<Peer> } & Disposable> {
    const { promise: accepted, resolve } = Promise.withResolvers<Peer>();
    const listener = createServer({ allowHalfOpen: true }, (socket) => {
      const peer = peerOf(socket);
      socket.once("data", () => resolve(peer));
    });
    const port = await freePort();
    await new Promise<void>((listening) => listener.listen(port, host, listening));
    return { port, accepted, [Symbol.dispose]: () => listener.close() };
  }

  test.each(["the client", "the server"])("%s ends first, and the other's bytes all arrive", async (first) => {
    using server = await rawServer();
    const { gate, port } = await gateBefore(server.port, "--never-ban", "none");
    await using _gate = gate;
    const client = peerOf(createConnection({ host, port, allowHalfOpen: true }));
    const packet = seal(new Uint8Array(100), "bare");
    client.socket.write(packet);
    const upstream = await server.accepted;
    await waitFor("the first packet", () => upstream.seen.count === packet.length);

    const [early, late] = first === "the client" ? [client, upstream] : [upstream, client];
    const before = early.seen.count;
    early.socket.end();
    await waitFor("FIN on the other side", () => late.seen.ended);
    expect(early.seen.ended).toBe(false);
    await sleep(50);
    late.socket.end(new Uint8Array(large));
    await waitFor("the rest and the end", () => early.seen.ended);
    expect(early.seen.count - before).toBe(large);
    await gate.until("the end of the connection", ({ connections }) => connections.active === 0);
  });

  test("a reset on one side is a reset on the other", async () => {
    using server = await rawServer();
    const { gate, port } = await gateBefore(server.port, "--never-ban", "none");
    await using _gate = gate;
    const client = createConnection({ host, port, allowHalfOpen: true });
    let failure: Error | undefined;
    client.on("error", (error) => {
      failure = error;
    });
    client.write(seal(new Uint8Array(100), "bare"));
    const upstream = await server.accepted;
    upstream.socket.resetAndDestroy();
    await waitFor("a reset at the client", () => failure !== undefined);
    expect(failure).toMatchObject({ code: "ECONNRESET" });
  });
});
