// SPDX-License-Identifier: Apache-2.0
// Servers that speak first: a silent client gets the greeting, and is judged by its first bytes as always.
import { expect, test } from "bun:test";
import { configSchema } from "../../src/config/options.ts";
import type { Sniffer } from "../../src/core/sniff.ts";
import { Bed, host, request, Server, until } from "./bed.ts";

/** Accepts what begins with EHLO, once it is there. */
const smtp: Sniffer = {
  profile: "smtp",
  protocols: ["http"],
  prefixBytes: 4,
  speaksFirst: "server",
  sniff(bytes, ended) {
    const text = new TextDecoder().decode(bytes);
    if (text.startsWith("EHLO")) return { kind: "accept" };
    if ("EHLO".startsWith(text) && !ended) return { kind: "more" };
    return text === "" ? { kind: "more" } : { kind: "foreign", protocol: "http" };
  },
};

const greeting = "220 mail.example.org ESMTP\r\n";

function greeter(text = greeting): Promise<Server> {
  return Server.open((peer) => peer.send(text));
}

test("a silent client gets the greeting, speaks, and is relayed", async () => {
  await using server = await greeter();
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], sniffer: smtp });
  const client = await bed.accepted();
  await client.got(greeting.length);
  expect([client.head.toString(), bed.counters.relayed]).toEqual([greeting, 0]);
  client.send("EH");
  client.send("LO me\r\n");
  const peer = await server.peer();
  await peer.got("EHLO me\r\n".length);
  peer.send("250 OK\r\n");
  await client.got(greeting.length + 8);
  expect(bed.counters).toMatchObject({ relayed: 1, foreign: 0, undecided: 0 });
  client.socket.end();
  await until("the end", () => peer.ended);
  peer.socket.end();
  await bed.idle();
  expect(bed.upstreams.status()).toMatchObject([{ active: 0 }]);
});

test("a stranger that speaks after the greeting is banned, and the server's side closed", async () => {
  await using server = await greeter();
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], sniffer: smtp });
  const stranger = await bed.accepted();
  await stranger.got(greeting.length);
  stranger.send(request);
  await until("the reset", () => stranger.wasReset);
  const peer = await server.peer();
  await until("the server's side closed", () => peer.closed);
  expect([peer.received, bed.bans.size, bed.counters.foreign]).toEqual([0, 1, 1]);
  await until("the upstream released", () => bed.upstreams.status()[0]?.active === 0);
});

test("a stranger that speaks at once costs the server no connection", async () => {
  await using server = await greeter();
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], sniffer: smtp });
  const stranger = await bed.accepted();
  stranger.send(request);
  await until("the reset", () => stranger.wasReset);
  await new Promise((resolve) => setTimeout(resolve, configSchema.parse({})["greeting-pause"] + 100));
  expect([server.peers.length, bed.bans.size]).toEqual([0, 1]);
});

test("a client that speaks while the server is being connected is joined to that connection", async () => {
  await using server = await greeter();
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await using bed = await Bed.open({
    upstreams: [{ host, port: server.port }],
    sniffer: smtp,
    dial: (real) => async (to, events, dialler) => {
      await held;
      real(to, events, dialler);
    },
  });
  const client = await bed.accepted();
  await new Promise((resolve) => setTimeout(resolve, 400));
  client.send("EHLO me\r\n");
  release();
  const peer = await server.peer();
  await peer.got("EHLO me\r\n".length);
  await client.got(greeting.length);
  expect(server.peers.length).toBe(1);
});

test("a client that stays silent is closed with its server at the deadline, and not banned", async () => {
  await using server = await greeter();
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], sniffer: smtp });
  const client = await bed.accepted();
  await client.got(greeting.length);
  bed.pass(11_000);
  const peer = await server.peer();
  await until("both ends", () => (client.closed || client.ended ? peer.closed : false));
  expect([bed.bans.size, bed.counters.undecided]).toEqual([0, 1]);
});

test("a client that leaves, and a server that is down, leave nothing open", async () => {
  await using server = await greeter();
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], sniffer: smtp });
  const client = await bed.accepted();
  await client.got(greeting.length);
  client.socket.destroy();
  const peer = await server.peer();
  await until("the server's side closed", () => peer.closed);
  await bed.idle();
  await using down = await Bed.open({ upstreams: [{ host, port: 1 }], sniffer: smtp });
  const other = await down.accepted();
  await until("the reset", () => other.wasReset);
  expect(down.counters.upstreamFailed).toBe(1);
});
