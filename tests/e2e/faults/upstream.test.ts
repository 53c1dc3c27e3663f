// SPDX-License-Identifier: Apache-2.0
// A server that is dead, slow, resets at any stage, ends first or speaks first: its clients learn it, nobody is banned
// for it, and nothing of it stays.

import { expect, setDefaultTimeout, test } from "bun:test";
import { behindClient, FaultBed } from "../../harness/fault_bed.ts";
import { describeWith } from "../../harness/needs.ts";
import { sleep, waitFor } from "../../harness/wait.ts";
import { digestOf, friendly, type Peer, pattern, pour, Server, until } from "../../net/bed.ts";
import { DeafServer } from "../../net/deaf_server.ts";

setDefaultTimeout(40_000);

/** More than the kernel and the gate hold between them. */
const chunk = pattern(1_000_000);
const chunks = 40;

/** What a server does to a connection, and when; the client is reset, or hears the end. */
const stages: Readonly<Record<string, (peer: Peer) => Promise<void> | undefined>> = {
  "at once": (peer) => {
    peer.socket.resetAndDestroy();
    return undefined;
  },
  "with the first packet": async (peer) => {
    await until("a byte", () => peer.received > 0);
    peer.socket.resetAndDestroy();
  },
  "in the middle of its answer": async (peer) => {
    await until("a byte", () => peer.received > 0);
    pour(peer, chunk, 5);
    await sleep(50);
    peer.socket.resetAndDestroy();
  },
  "behind its own FIN": async (peer) => {
    await until("a byte", () => peer.received > 0);
    peer.socket.end("answer");
    await sleep(100);
    peer.socket.resetAndDestroy();
  },
  "behind the client's FIN": async (peer) => {
    await until("the client's FIN", () => peer.ended);
    peer.socket.resetAndDestroy();
  },
};

describeWith("executable")("a server that resets", () => {
  test.each(Object.keys(stages))("%s", async (stage) => {
    await using server = await Server.open((peer) => {
      // The look at the start says nothing.
      stages[stage]?.(peer)?.catch(() => {});
    });
    await using bed = await FaultBed.open([server.port]);
    const client = await bed.client();
    client.send(friendly());
    if (stage === "behind the client's FIN") client.socket.end();
    await until("the end at the client", () => client.closed);
    expect(client.wasReset || client.errorCode === "EPIPE").toBe(true);
    await bed.expectNothingLeft();
  });
});

describeWith("executable", { program: "nc" })("a server that is slow", () => {
  test("to be connected: the next one gets the client after 3.5 s, and without one it is reset", async () => {
    await using deaf = await DeafServer.open();
    await using server = await Server.open();
    await using bed = await FaultBed.open([deaf.port, server.port], "--check", "off");
    await using alone = await FaultBed.open([deaf.port]);
    const [client, lonely] = [await bed.client(), await alone.client()];
    for (const peer of [client, lonely]) peer.send(friendly());
    await (await behindClient(server)).got(friendly().length);
    await until("the reset", () => lonely.closed);
    expect(lonely.wasReset).toBe(true);
    expect((await bed.gate.status()).upstreams[0]).toMatchObject({ reachable: false, error: "no answer within 3.5 s" });
    expect((await alone.gate.status()).connections.upstreamFailed).toBe(1);
    expect((await alone.gate.status()).bans.total).toBe(0);
  });

  test("to read: the client waits, and every byte arrives", async () => {
    await using server = await Server.open((peer) => void peer.socket.pause());
    await using bed = await FaultBed.open([server.port]);
    const client = await bed.client();
    const before = await bed.gate.residentBytes();
    const first = friendly();
    client.send(first);
    const poured = pour(client, chunk, chunks);
    await sleep(1500);
    expect(poured.written).toBeLessThan(chunks);
    expect((await bed.gate.residentBytes()) - before).toBeLessThan(24_000_000);
    const upstream = await behindClient(server);
    upstream.socket.resume();
    await waitFor("all of it", () => upstream.received === first.length + chunks * chunk.length, 20_000);
    expect(upstream.digest()).toBe(digestOf(first, ...Array.from({ length: chunks }, () => chunk)));
    client.socket.end();
    upstream.socket.end();
    await bed.expectNothingLeft();
  });
});

describeWith("executable")("a server that is first", () => {
  test("to end: what the client still has to say arrives", async () => {
    await using server = await Server.open((peer) => void peer.socket.end());
    await using bed = await FaultBed.open([server.port]);
    const client = await bed.client();
    const first = friendly();
    client.send(first);
    await until("FIN", () => client.ended);
    client.socket.end(chunk);
    const upstream = await behindClient(server);
    await until("the end", () => upstream.ended);
    expect(upstream.digest()).toBe(digestOf(first, chunk));
    await bed.expectNothingLeft();
  });

  test("to speak, though its protocol does not: the client hears it once it is known, before its answer", async () => {
    await using server = await Server.open((peer) => {
      peer.send("welcome");
      peer.socket.once("data", () => peer.send(", friend"));
    });
    await using bed = await FaultBed.open([server.port]);
    const client = await bed.client();
    await sleep(300);
    expect([client.received, server.peers.length]).toEqual([0, 1]);
    client.send(friendly());
    await client.got("welcome, friend".length);
    expect(client.head.toString()).toBe("welcome, friend");
    client.socket.end();
    (await behindClient(server)).socket.end();
    await bed.expectNothingLeft();
  });
});
