// SPDX-License-Identifier: Apache-2.0
// Rejects two connections on loopback as --reject silent does, in a process of its own since what it may
// do is a matter of its capabilities. Prints what was counted and logged, and what the peers saw.
import { once } from "node:events";
import { connect } from "node:net";
import process from "node:process";
import { Client } from "../../src/core/client.ts";
import { newConnectionCounters } from "../../src/core/counters.ts";
import { Rejection } from "../../src/gate/rejection.ts";
import { runtime } from "../../src/runtime/bun.ts";
import { silentEvents } from "../../src/runtime/types.ts";
import { sleep } from "./wait.ts";

/** A reset on loopback is there before the next turn of the event loop. */
const settledMs = 200;

const counters = newConnectionCounters();
const log: string[] = [];
const rejection = new Rejection(
  counters,
  (_level, message) => log.push(message),
  () => true,
);
await rejection.beSilent(runtime);
const atStart = log.length;
const listener = await runtime.listen({
  host: "127.0.0.1",
  port: 0,
  accept(socket) {
    setTimeout(() => rejection.end(socket, new Client(socket.remote.address, socket.remote.port, 64)), 20);
    return silentEvents;
  },
});
const peers: string[] = [];
for (let count = 0; count < 2; count++) {
  const peer = connect({ host: "127.0.0.1", port: listener.local.port });
  let heard = "nothing";
  peer.on("error", (error: NodeJS.ErrnoException) => {
    heard = error.code ?? error.message;
  });
  peer.on("end", () => {
    heard = "FIN";
  });
  await once(peer, "connect");
  await sleep(settledMs);
  peers.push(heard);
}
const { silenced, notSilenced } = counters;
console.log(JSON.stringify({ silenced, notSilenced, peers, atStart, log }));
process.exit(0);
