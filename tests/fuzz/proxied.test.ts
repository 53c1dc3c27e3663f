// SPDX-License-Identifier: Apache-2.0
// A trusted proxy whose headers are damaged, cut anywhere: banned is only whom a whole header names and whose own
// bytes are foreign, never the proxy, and the server reads nothing but what came behind a header.
import { expect, setDefaultTimeout, test } from "bun:test";
import { loadSniffer } from "../../src/config/profile.ts";
import { requirePrefix } from "../../src/core/address.ts";
import { parseProxyHeader } from "../../src/core/proxy_protocol/header.ts";
import { localHeader, proxyHeader } from "../../src/core/proxy_protocol/written.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { Bed, host, type Peer, request, Server, until } from "../net/bed.ts";
import { firstSeed, fuzzSeconds, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const proxy = "127.0.0.9";
const front = { address: "198.51.100.1", port: 443 };
const ssh = loadSniffer("ssh");
const friend = new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n");
const perRound = 60;

/** Each client inside is another one: a ban of one says nothing of the next. */
function headerOf(random: Random, index: number): Uint8Array {
  const version = pick(random, ["v1", "v2"] as const);
  if (random(6) === 0) return localHeader(version);
  const address = random(2) === 0 ? `192.0.2.${index + 1}` : `2001:db8:${index}::1`;
  const header = proxyHeader(version, { address, port: 1 + random(60_000) }, front);
  return random(2) === 0 ? header : mutateBytes(random, header, localHeader("v1"));
}

async function send(random: Random, peer: Peer, stream: Uint8Array): Promise<void> {
  for (let at = 0; at < stream.length; ) {
    const end = random(3) === 0 ? stream.length : at + 1 + random(30);
    peer.send(stream.subarray(at, end));
    at = end;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  peer.socket.end();
}

/** Whom a stream gets banned, and what the server may read of it. */
function expected(stream: Uint8Array): { readonly banned: string | undefined; readonly served: string | undefined } {
  const read = parseProxyHeader(stream);
  if (read.kind !== "header") return { banned: undefined, served: undefined };
  const rest = stream.subarray(read.length);
  const verdict = ssh.sniff(rest, true).kind;
  const inside = read.client === undefined ? undefined : requirePrefix(read.client.source.address);
  const banned = inside === undefined || inside.ipv4 ? inside?.text : requirePrefix(`${inside.text}/64`).text;
  return {
    banned: verdict === "foreign" ? banned : undefined,
    served: verdict === "accept" ? rest.toHex() : undefined,
  };
}

async function round(seed: number): Promise<void> {
  const random = createRandom(seed);
  await using server = await Server.open();
  await using bed = await Bed.open({
    ...{ upstreams: [{ host, port: server.port }], sniffer: ssh },
    config: { "accept-proxy": [requirePrefix(proxy)] },
  });
  bed.daemonBans.enforcement.neverBan.add({ prefix: requirePrefix(proxy), why: "--accept-proxy" });
  const wanted = { banned: new Set<string>(), served: new Set<string>() };
  for (let index = 0; index < perRound; index++) {
    const says = pick(random, [friend, request, new Uint8Array()]);
    const stream = Uint8Array.from([...headerOf(random, index), ...says]);
    const { banned, served } = expected(stream);
    if (banned !== undefined) wanted.banned.add(banned);
    if (served !== undefined) wanted.served.add(served);
    const peer = await bed.accepted(proxy);
    await send(random, peer, stream);
    await until("the answer", () => peer.ended || peer.closed || served !== undefined || bed.sessions.size === 0);
  }
  await until("what was to be served", () => server.peers.length >= wanted.served.size);
  const read = () => new Set(server.peers.map(({ head }) => head.toString("hex")));
  await until("the bytes that were to be served", () => read().isSupersetOf(wanted.served));
  const bans = new Set([...bed.bans.all()].map(({ prefix }) => prefix.text));
  expect({ seed, read: read(), bans }).toEqual({ seed, read: wanted.served, bans: wanted.banned });
}

test("a trusted proxy with damaged headers is never banned", async () => {
  const untilMs = performance.now() + fuzzSeconds * 1000;
  let seed = firstSeed;
  do await round(seed++);
  while (performance.now() < untilMs);
});
