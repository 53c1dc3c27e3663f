// SPDX-License-Identifier: Apache-2.0
// Clients that vanish, end first and read a long answer, or never read: they cost what they hold and no more, and
// with --idle not even that for long.
import { expect, setDefaultTimeout, test } from "bun:test";
import { behindClient, FaultBed } from "../../harness/fault_bed.ts";
import { RunningGate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { ip, Network } from "../../harness/netns.ts";
import { startClient, startServer } from "../../harness/standin.ts";
import { sleep, waitFor } from "../../harness/wait.ts";
import { digestOf, friendly, pattern, pour, Server, until } from "../../net/bed.ts";

setDefaultTimeout(40_000);

const chunk = pattern(1_000_000);

describeWith("executable")("a client that", () => {
  test("ends first gets all of a long answer, however slowly it reads", async () => {
    await using server = await Server.open((peer) => {
      peer.socket.once("end", () => {
        for (let count = 0; count < 30; count++) peer.send(chunk);
        peer.socket.end();
      });
    });
    await using bed = await FaultBed.open([server.port]);
    const client = await bed.client();
    client.send(friendly());
    client.socket.end();
    const upstream = await behindClient(server);
    await until("FIN at the server", () => upstream.ended);
    for (let pause = 0; pause < 5; pause++) {
      client.socket.pause();
      await sleep(100);
      client.socket.resume();
      await sleep(10);
    }
    await until("the end", () => client.ended);
    expect(client.received).toBe(30 * chunk.length);
    expect(client.digest()).toBe(digestOf(...Array.from({ length: 30 }, () => chunk)));
    await bed.expectNothingLeft();
  });

  test("is in the middle of its first packet while the gate stands still is not blamed", async () => {
    await using server = await Server.open((peer) => peer.socket.once("end", () => peer.socket.end()));
    await using bed = await FaultBed.open([server.port], "--first-packet", "2s");
    let known = 0;
    for (let round = 0; round < 3; round++) {
      const clients = await Promise.all(Array.from({ length: 4 }, () => bed.client()));
      const packet = friendly();
      for (const client of clients) client.send(packet.subarray(0, 10));
      // What was sent before is read when this one is relayed; a friend of their own source would excuse them.
      const last = await bed.client("127.0.0.2");
      last.send(packet);
      await bed.gate.until("its relay", ({ connections: { relayed, undecided } }) => relayed + undecided === known + 1);
      bed.gate.child.signal("SIGSTOP");
      for (const client of clients) client.send(packet.subarray(10));
      await sleep(4000);
      bed.gate.child.signal("SIGCONT");
      known += 5;
      // Relayed, or closed where the time was over before the rest was read.
      await bed.gate.until("their ends", ({ connections: { relayed, undecided } }) => relayed + undecided === known);
      for (const client of [...clients, last]) client.socket.end();
      await bed.gate.until("their ends", ({ connections }) => connections.active === 0);
    }
    await bed.expectNothingLeft();
  });

  test("never reads holds up its own server alone, costs little memory, and ends with --idle", async () => {
    await using server = await Server.open((peer) => {
      peer.socket.once("data", () => pour(peer, chunk, 100));
    });
    await using bed = await FaultBed.open([server.port], "--idle", "3s");
    const before = await bed.gate.residentBytes();
    const deaf = await Promise.all(Array.from({ length: 20 }, () => bed.client()));
    for (const { socket } of deaf) {
      socket.pause();
      socket.write(friendly());
    }
    await sleep(2000);
    // Whatever a read took from the server while the client's kernel had no room: half a megabyte each.
    expect((await bed.gate.residentBytes()) - before).toBeLessThan(20 * 1_500_000);
    const reader = await bed.client();
    reader.send(friendly());
    await reader.got(50 * chunk.length);
    reader.socket.destroy();
    const { connections } = await bed.gate.until("the end of the deaf", (now) => now.connections.active === 0, 15_000);
    expect(connections.idleEnded).toBe(20);
    await bed.expectNothingLeft();
  });

  test("is slow but not silent outlives --idle; one that is silent does not", async () => {
    await using server = await Server.open();
    await using bed = await FaultBed.open([server.port], "--idle", "2s");
    const [slow, silent] = [await bed.client(), await bed.client()];
    for (const peer of [slow, silent]) peer.send(friendly());
    for (let count = 0; count < 10; count++) {
      await sleep(500);
      slow.send("x");
    }
    await until("the end of the silent one", () => silent.closed);
    expect([slow.closed, silent.wasReset]).toEqual([false, true]);
    const metrics = await (await bed.gate.fetch("/metrics")).text();
    expect(metrics).toMatch(/^ttgate_connections_idle_ended_total\{gate="default"\} 1$/m);
    slow.socket.destroy();
    await bed.expectNothingLeft();
  });
});

describeWith("executable", "namespaces")("a client that vanishes", () => {
  test("without a packet is gone with --idle, and its server hears of it", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start(["--idle", "2s"], { namespace: network.gate }));
    const at = ["--host", network.gateIpv4, "--port", "5000", "--reconnect", "1000000"];
    const client = stack.use(await startClient(network.client, ...at));
    await client.until("answers", ({ packets }) => packets > 5);
    ip("-n", network.client, "link", "set", network.clientDevice, "down");
    const isOver = ({ connections, upstreams }: Awaited<ReturnType<typeof gate.status>>) =>
      connections.active === 0 && upstreams[0]?.active === 0;
    await gate.until("the end", isOver, 15_000);
    await waitFor("the count", async () => (await gate.status()).connections.idleEnded === 1);
  });
});
