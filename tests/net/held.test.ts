// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection that is held: thousands are at a time, and each object counts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Bed, friendly, host, type Peer, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

const held = 64;
/** Objects of the gate's own for each, from a source of its own. */
const kept: Readonly<Record<string, number>> = {
  ...{ Relayed: 1, Client: 1, BunSocket: 2, SourceSessions: 1 },
};
/** What only lasts until the relay starts, or for a moment after. */
const dropped = ["Session", "Place", "Source", "Chain", "Opening", "Attempt", "Fresh"];

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
