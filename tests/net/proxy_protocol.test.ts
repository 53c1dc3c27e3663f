// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol in both directions: what a server is told of its client, and whom a trusted proxy speaks for.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer } from "node:net";
import { loadSniffer } from "../../src/config/profile.ts";
import { requirePrefix } from "../../src/core/address.ts";
import { concatenated } from "../../src/core/concatenated.ts";
import { parseProxyHeader } from "../../src/core/proxy_protocol/header.ts";
import { localHeader, type ProxyVersion, proxyHeader } from "../../src/core/proxy_protocol/written.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Bed, type BedOptions, friendly, host, type Peer, request, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

/** A friend's first packet: sealed once, since it is another one each time. */
const hello = friendly();
const proxy = "127.0.0.9";
const inside = { address: "192.0.2.7", port: 4711 };
const front = { address: "198.51.100.1", port: 443 };

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function bedOf(config: BedOptions["config"], options: Partial<BedOptions> = {}) {
  const server = stack.use(await Server.open());
  const bed = stack.use(
    await Bed.open({ upstreams: [{ host, port: server.port }], ...options, config: { ...config } }),
  );
  return { server, bed };
}

/** The first bytes that came there. */
function seenBy({ head }: Peer): Uint8Array {
  return Uint8Array.from(head);
}

const accepting = { "accept-proxy": [requirePrefix(proxy)] };

const versions: readonly ProxyVersion[] = ["v1", "v2"];

describe.each(versions)("--send-proxy %s", (version) => {
  test("comes in one write with the first bytes", async () => {
    const chunks: Uint8Array[] = [];
    const server = stack.use(await Server.open(({ socket }) => socket.on("data", (chunk) => chunks.push(chunk))));
    const { bed } = await bedOf({ "send-proxy": version }, { upstreams: [{ host, port: server.port }] });
    const client = await bed.client("127.0.0.7");
    client.send(hello);
    const source = { address: "127.0.0.7", port: client.socket.localPort ?? 0 };
    const header = proxyHeader(version, source, { address: host, port: bed.port });
    await (await server.peer()).got(header.length + hello.length);
    expect(chunks.map((chunk) => Uint8Array.from(chunk) as Uint8Array)).toEqual([concatenated(header, hello)]);
    client.send("more");
    await (await server.peer()).got(header.length + hello.length + 4);
    expect(server.peers[0]?.head.toString("latin1")).toEndWith("more");
  });

  test("comes before the greeting of a server that speaks first", async () => {
    const { server, bed } = await bedOf(
      { "send-proxy": version, "greeting-pause": 20 },
      { sniffer: { ...loadSniffer("ssh"), speaksFirst: "server" } },
    );
    const client = await bed.accepted("127.0.0.7");
    const source = { address: "127.0.0.7", port: client.socket.localPort ?? 0 };
    const header = proxyHeader(version, source, { address: host, port: bed.port });
    const behind = await server.peer();
    await behind.got(header.length);
    behind.send("SSH-2.0-server\r\n");
    await client.got(16);
    client.send("SSH-2.0-client\r\n");
    await behind.got(header.length + 16);
    expect(seenBy(behind)).toEqual(concatenated(header, new TextEncoder().encode("SSH-2.0-client\r\n")));
  });

  test("says of a look at the server that it is no client's", async () => {
    const { server, bed } = await bedOf({ "send-proxy": version });
    await bed.upstreams.probe(bed.nowMs(), 0);
    const behind = await server.peer();
    await until("the end of the look", () => behind.ended);
    expect(seenBy(behind)).toEqual(localHeader(version));
    // The server keeps its side open; the gate does not.
    await until("the end of the connection", () => {
      behind.send("x");
      return behind.closed;
    });
  });

  test("goes to a unix socket as well, and a reload ends it", async () => {
    const directory = stack.use(new TempDir());
    const path = directory.file("server");
    const heads: Buffer[] = [];
    const server = createServer((socket) => socket.on("data", (chunk) => heads.push(chunk)).on("error", () => {}));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    stack.defer(() => void server.close());
    const { bed } = await bedOf({ "send-proxy": version }, { upstreams: [{ path }] });
    const client = await bed.client("127.0.0.7");
    client.send(hello);
    await until("bytes at the socket", () => heads.length > 0);
    expect(parseProxyHeader(heads[0] ?? new Uint8Array())).toMatchObject({
      client: { source: { address: "127.0.0.7", port: client.socket.localPort ?? 0 } },
    });
    bed.gate.reconfigure({ ...bed.gate.config, "send-proxy": "off" }, bed.gate.sniffer);
    (await bed.client("127.0.0.7")).send(hello);
    await until("bytes of the second client", () => heads.length > 1);
    expect(Uint8Array.from(heads[1] ?? []) as Uint8Array).toEqual(hello);
  });
});

describe.each(versions)("--accept-proxy, %s", (version) => {
  const header = proxyHeader(version, inside, front);

  test("the client inside is served, whatever the cut, and the server gets its bytes alone", async () => {
    const { server, bed } = await bedOf(accepting);
    const stream = concatenated(header, hello);
    const peers: Peer[] = [];
    for (let cut = 0; cut <= header.length + 1; cut++) {
      const peer = await bed.accepted(proxy);
      peers.push(peer);
      peer.send(stream.subarray(0, cut));
      await new Promise((resolve) => setTimeout(resolve, 4));
      peer.send(stream.subarray(cut));
    }
    for (const index of peers.keys()) {
      const behind = await server.peer(index);
      await behind.got(hello.length);
      expect(seenBy(behind)).toEqual(hello);
    }
    expect(bed.sessions.ofSource(inside.address)).toBe(peers.length);
    expect(bed.sessions.ofSource(proxy)).toBe(0);
    expect(bed.counters).toMatchObject({
      relayed: peers.length,
      withoutHeader: 0,
      undecided: 0,
      accepted: peers.length,
    });
  });

  test("byte by byte", async () => {
    const { server, bed } = await bedOf(accepting);
    const peer = await bed.accepted(proxy);
    for (const byte of concatenated(header, hello)) {
      peer.send(Uint8Array.of(byte));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await (await server.peer()).got(hello.length);
    expect(seenBy(await server.peer())).toEqual(hello);
  });

  test("a stranger inside is banned, its other connections are cut, and everybody else goes on", async () => {
    const { server, bed } = await bedOf(accepting);
    const welcome = await bed.accepted(proxy);
    welcome.send(concatenated(header, hello));
    await server.peer(0);
    const neighbour = await bed.accepted(proxy);
    neighbour.send(concatenated(proxyHeader(version, { address: "192.0.2.8", port: 1 }, front), hello));
    await server.peer(1);

    const stranger = await bed.accepted(proxy);
    stranger.send(concatenated(header, request));
    await until("a reset", () => stranger.wasReset && welcome.wasReset);
    expect([...bed.bans.all()].map(({ prefix, evidence }) => [prefix.text, evidence?.clientAddress])).toEqual([
      [inside.address, inside.address],
    ]);
    expect(bed.counters).toMatchObject({ foreign: 1, cut: 1 });

    const again = await bed.accepted(proxy);
    again.send(concatenated(header, hello));
    await until("a reset", () => again.wasReset);
    expect(bed.counters.refusedBanned).toBe(1);
    neighbour.send("still here");
    await (await server.peer(1)).got(hello.length + 10);
    expect(server.peers).toHaveLength(2);
  });

  test("and told to the server as the proxy said, with where it went to", async () => {
    const { server, bed } = await bedOf({ ...accepting, "send-proxy": version });
    (await bed.accepted(proxy)).send(concatenated(header, hello));
    const behind = await server.peer();
    await behind.got(header.length + hello.length);
    expect(seenBy(behind)).toEqual(concatenated(header, hello));
  });

  test("limits for one source are for the client inside", async () => {
    const { server, bed } = await bedOf(accepting, { maxPerSource: 1 });
    const send = async (address: string) => {
      const peer = await bed.accepted(proxy);
      peer.send(concatenated(proxyHeader(version, { address, port: 1 }, front), hello));
      return peer;
    };
    await send("192.0.2.1");
    await server.peer(0);
    await send("192.0.2.2");
    await server.peer(1);
    const greedy = await send("192.0.2.1");
    await until("a reset", () => greedy.wasReset);
    expect(bed.counters.refusedFull).toBe(1);
  });
});

describe("--accept-proxy", () => {
  test.each([
    ["another protocol", request],
    ["a friend's bytes", hello],
  ])(
    "a connection of the proxy that begins with %s is closed, counted and told, and nobody is banned",
    async (_, bytes) => {
      const { server, bed } = await bedOf(accepting);
      const peer = await bed.accepted(proxy);
      peer.send(bytes);
      await until("the end", () => peer.ended);
      await bed.idle();
      expect(bed.counters).toMatchObject({ withoutHeader: 1, undecided: 0, foreign: 0 });
      expect([bed.bans.size, server.peers.length]).toEqual([0, 0]);
      expect(bed.gateLog.filter((line) => line.includes("PROXY protocol"))).toEqual([
        `Closed a connection of the proxy ${proxy}: no PROXY protocol header; let it send one (HAProxy: send-proxy-v2, nginx: proxy_protocol on), or take it out of --accept-proxy`,
      ]);
    },
  );

  test("a look of the proxy without a byte is no mistake of it", async () => {
    const { bed } = await bedOf(accepting);
    const peer = await bed.accepted(proxy);
    peer.socket.end();
    await until("the end", () => peer.ended);
    expect(bed.counters).toMatchObject({ withoutHeader: 0, undecided: 1 });
    expect(bed.gateLog.filter((line) => line.includes("Closed"))).toEqual([]);
  });

  test("half a header is waited for as long as a first packet, and both together no longer", async () => {
    const { bed } = await bedOf(accepting, { firstPacketMs: 10_000 });
    const header = proxyHeader("v1", inside, front);
    const half = await bed.accepted(proxy);
    half.send(header.subarray(0, 20));
    const whole = await bed.accepted(proxy);
    bed.pass(6000);
    whole.send(header);
    await until("the client inside", () => bed.sessions.ofSource(inside.address) === 1);
    bed.pass(3900);
    expect([half.ended, whole.ended]).toEqual([false, false]);
    // A deadline comes up to a second late.
    bed.pass(1200);
    await until("the end", () => half.ended && whole.ended);
    expect(bed.counters).toMatchObject({ withoutHeader: 1, undecided: 1 });
  });

  test("the proxy's own look with LOCAL is judged as its own connection", async () => {
    const { server, bed } = await bedOf(accepting);
    (await bed.accepted(proxy)).send(concatenated(localHeader("v2"), hello));
    await (await server.peer()).got(hello.length);
    expect(bed.sessions.ofSource(proxy)).toBe(1);
    const look = await bed.accepted(proxy);
    look.send(localHeader("v1"));
    look.socket.end();
    await until("the end", () => look.ended);
    expect([bed.bans.size, bed.counters.withoutHeader, bed.counters.undecided]).toEqual([0, 0, 1]);
  });

  test("nobody else is believed", async () => {
    const { server, bed } = await bedOf(accepting);
    const liar = await bed.accepted("127.0.0.10");
    liar.send(concatenated(proxyHeader("v1", inside, front), hello));
    await until("the end", () => liar.closed || liar.ended || liar.wasReset);
    expect(bed.bans.get(requirePrefix(inside.address))).toBeUndefined();
    expect(server.peers).toHaveLength(0);
    // And without a header everything is as it was.
    (await bed.accepted("127.0.0.11")).send(hello);
    await (await server.peer()).got(hello.length);
  });

  test("connections without a header yet hold places, and make room", async () => {
    const { server, bed } = await bedOf(accepting, { maxConnections: 2 });
    const idle = [await bed.accepted(proxy), await bed.accepted(proxy)];
    (await bed.accepted("127.0.0.10")).send(hello);
    await (await server.peer()).got(hello.length);
    await until("the end of the oldest", () => idle[0]?.ended);
    expect(bed.sessions.size).toBe(2);
  });

  test("a ban of the proxy's own address by an operator ends what it has not introduced yet", async () => {
    const { bed } = await bedOf(accepting);
    const peer = await bed.accepted(proxy);
    bed.daemonBans.operator.ban(proxy, { forMs: undefined, force: true, by: "operator" });
    await until("a reset", () => peer.wasReset);
    await bed.idle();
  });
});
