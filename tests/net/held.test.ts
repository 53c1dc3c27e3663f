// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection that is held: thousands are at a time, and each object counts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { Child } from "../harness/child.ts";
import { waitFor } from "../harness/wait.ts";
import { Bed, friendly, host, Peer, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

const held = 64;
/** Objects of the gate's own for each, from a source of its own. */
const kept: Readonly<Record<string, number>> = {
  ...{ Relayed: 1, Client: 1, BunSocket: 2, SourceSessions: 1 },
};
/** What only lasts until the relay starts, or for a moment after. */
const dropped = ["Session", "Place", "Source", "Chain", "Opening", "Attempt", "Fresh"];

/** Of every kind, in a gate that is alone in its process: the above, Bun's own, and the text of the address. */
const alive: Readonly<Record<string, number>> = { Object: 5, TCPSocket: 2, SocketHandlers: 1, string: 1 };
/** All of them, with the map of sources; 1060 with two legs, a place and a chain for each, and 570 for a bare relay. */
const aliveBytes = 900;
/** Code that was compiled meanwhile, and what a register or the stack refers to. */
const slack = 0.25;

interface Heap {
  readonly sessions: number;
  readonly heapSize: number;
  readonly objectTypeCounts: Readonly<Record<string, number>>;
}

/** Live objects by the name of their class, after a full collection. */
function objects(): Map<string, number> {
  const { nodes, nodeClassNames } = Bun.generateHeapSnapshot();
  const counts = new Map<string, number>();
  // Four numbers a node: identifier, size, name, flags.
  for (let at = 2; at < nodes.length; at += 4) {
    const name = nodeClassNames[nodes[at] ?? 0] ?? "";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

test("of a relayed connection nothing is kept that only its judgement needed", async () => {
  await using server = await Server.open((peer) => peer.send("welcome"));
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }] });
  const before = objects();
  const clients: Peer[] = [];
  for (let index = 0; index < held; index++) {
    const client = await bed.accepted(`127.0.1.${index + 1}`);
    client.send(friendly());
    await client.got("welcome".length);
    clients.push(client);
  }
  bed.sessions.settle();
  bed.sessions.settle();
  const grown = (name: string, now: ReadonlyMap<string, number>) => (now.get(name) ?? 0) - (before.get(name) ?? 0);
  // What a register or the stack still refers to goes with a later one.
  const now = await until("what was dropped to be collected", () => {
    const counts = objects();
    return dropped.every((name) => grown(name, counts) < held / 4) && counts;
  });
  for (const [name, each] of Object.entries(kept)) {
    expect(grown(name, now) / held, name).toBeGreaterThanOrEqual(each);
    expect(grown(name, now) / held, name).toBeLessThan(each + 0.25);
  }
  expect(clients).toHaveLength(held);
});

test("of a relayed connection there is nothing else, of any kind", async () => {
  await using server = await Server.open((peer) => peer.send("welcome"));
  const main = join(import.meta.dirname, "held_main.ts");
  await using gate = new Child([process.execPath, main, `${server.port}`], { holdInput: true });
  const port = Number((await gate.said(/"port":(\d+)/))[1]);
  await using clients = new AsyncDisposableStack();
  const hold = async (first: number, count: number) => {
    for (let index = first; index < first + count; index++) {
      const localAddress = `127.0.${1 + (index >> 8)}.${index & 255}`;
      const client = new Peer(connect({ host, port, localAddress }));
      clients.defer(() => void client.socket.destroy());
      client.send(friendly());
      await client.got("welcome".length);
    }
  };
  let answers = 0;
  const heap = async (sessions: number): Promise<Heap> => {
    gate.send("\n");
    answers++;
    const line = await waitFor("the heap", () => gate.stdout.split("\n").slice(1, -1)[answers - 1]);
    const found = JSON.parse(line) as Heap;
    expect(found.sessions).toBe(sessions);
    return found;
  };
  // Until what is done for each connection is compiled.
  await hold(1, 256);
  await heap(256);
  const before = await heap(256);
  await hold(257, 512);
  await heap(768);
  const after = await heap(768);
  const kinds = Object.keys(after.objectTypeCounts);
  const each = (kind: string) => ((after.objectTypeCounts[kind] ?? 0) - (before.objectTypeCounts[kind] ?? 0)) / 512;
  const kept = Object.fromEntries(kinds.filter((kind) => each(kind) > slack).map((kind) => [kind, each(kind)]));
  expect(Object.keys(kept).toSorted()).toEqual(Object.keys(alive).toSorted());
  for (const [kind, most] of Object.entries(alive)) expect(each(kind), kind).toBeLessThan(most + slack);
  expect((after.heapSize - before.heapSize) / 512).toBeLessThan(aliveBytes);
});
