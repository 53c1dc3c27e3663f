// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection that is held: thousands are at a time, and each object counts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { finished } from "../../src/core/work.ts";
import { Child } from "../harness/child.ts";
import { waitFor } from "../harness/wait.ts";
import { Bed, friendly, host, Peer, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

const held = 64;
/** Where only they are, more of them: code is compiled and thrown away meanwhile. */
const many = 512;
const warm = 256;
/** Objects of the gate's own for each, from a source of its own, and the bytes of one: another field may cost 16 to 48. */
const kept: Readonly<Record<string, readonly [each: number, bytes: number]>> = {
  Relayed: [1, 112],
  Client: [1, 48],
  BunSocket: [2, 64],
  SourceSessions: [1, 64],
};
/** What only lasts until the relay starts, or for a moment after. */
const dropped = ["Session", "Place", "Source", "Chain", "Opening", "Attempt"];

/** Of every kind, in a gate that is alone in its process: the above, Bun's own, and the text of the address. */
const alive: Readonly<Record<string, number>> = { Object: 5, TCPSocket: 2, SocketHandlers: 1, string: 1 };
/** Code that was compiled meanwhile, and what a register or the stack refers to. */
const slack = 0.25;

interface Heap {
  readonly sessions: number;
  readonly objectTypeCounts: Readonly<Record<string, number>>;
}

interface Objects {
  readonly count: number;
  /** Of the largest. */
  readonly bytes: number;
}

/** Live objects by the name of their class, after a full collection. */
function objects(): Map<string, Objects> {
  const { nodes, nodeClassNames } = Bun.generateHeapSnapshot();
  const found = new Map<string, Objects>();
  // Four numbers a node: identifier, size, name, flags.
  for (let at = 0; at < nodes.length; at += 4) {
    const name = nodeClassNames[nodes[at + 2] ?? 0] ?? "";
    const { count, bytes } = found.get(name) ?? { count: 0, bytes: 0 };
    found.set(name, { count: count + 1, bytes: Math.max(bytes, nodes[at + 1] ?? 0) });
  }
  return found;
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
  for (let look = 0; look < 2; look++) finished(bed.sessions.settle());
  const grown = (name: string, now: ReadonlyMap<string, Objects>) =>
    (now.get(name)?.count ?? 0) - (before.get(name)?.count ?? 0);
  // What a register or the stack still refers to goes with a later one.
  const now = await until("what was dropped to be collected", () => {
    const counts = objects();
    return dropped.every((name) => grown(name, counts) < held / 4) && counts;
  });
  for (const [name, [each, bytes]] of Object.entries(kept)) {
    expect(grown(name, now) / held, name).toBeGreaterThanOrEqual(each);
    expect(grown(name, now) / held, name).toBeLessThan(each + slack);
    expect(now.get(name)?.bytes, name).toBeLessThanOrEqual(bytes);
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
  await hold(1, warm);
  await heap(warm);
  const before = await heap(warm);
  await hold(warm + 1, many);
  await heap(warm + many);
  const after = await heap(warm + many);
  const kinds = Object.keys(after.objectTypeCounts);
  const each = (kind: string) => ((after.objectTypeCounts[kind] ?? 0) - (before.objectTypeCounts[kind] ?? 0)) / many;
  const kept = Object.fromEntries(kinds.filter((kind) => each(kind) > slack).map((kind) => [kind, each(kind)]));
  expect(Object.keys(kept).toSorted()).toEqual(Object.keys(alive).toSorted());
  for (const [kind, most] of Object.entries(alive)) expect(each(kind), kind).toBeLessThan(most + slack);
});
