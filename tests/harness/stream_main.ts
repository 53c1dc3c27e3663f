// SPDX-License-Identifier: Apache-2.0
// Steady streams of packets between two network namespaces, and the sockets that listen for them, to
// see whether any is let through or lost while something else happens. UDP datagrams and TCP connections
// to the same port. Prints JSON: `{"ready":true}`, then on SIGTERM what was counted.
//   stream_main.ts listen --host ADDR --port N
//   stream_main.ts send --host ADDR --port N --from ADDR [--rate N]
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";
import { probe } from "./probe.ts";
import { sleep } from "./wait.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    from: { type: "string", default: "" },
    /** Datagrams a second. */
    rate: { type: "string", default: "1000" },
  },
});
const { host, from } = values;
const port = Number(values.port);
const print = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
const stopped = new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()));

async function listen(): Promise<void> {
  const datagrams: Record<string, number> = {};
  const connections: Record<string, number> = {};
  const socket = createSocket({ type: "udp4", recvBufferSize: 8 * 1024 * 1024 });
  socket.on("message", (_message, { address }) => {
    datagrams[address] = (datagrams[address] ?? 0) + 1;
  });
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  const server = createServer((connection) => {
    const address = connection.remoteAddress ?? "";
    connections[address] = (connections[address] ?? 0) + 1;
    connection.on("error", () => {});
    connection.end("here\n");
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  print({ ready: true });
  await stopped;
  // What is still on its way.
  await sleep(300);
  print({ datagrams, connections });
  socket.close();
  server.close();
}

async function send(): Promise<void> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, from, resolve));
  let sent = 0;
  const outcomes: Record<string, number> = {};
  let stopping = false;
  void stopped.then(() => {
    stopping = true;
  });
  const knock = async () => {
    while (!stopping) {
      const { outcome } = await probe({ host, port, from });
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      await sleep(5);
    }
  };
  const knocking = Promise.all(Array.from({ length: 4 }, knock));
  print({ ready: true });
  const started = performance.now();
  while (!stopping) {
    const due = ((performance.now() - started) * Number(values.rate)) / 1000;
    for (; sent < due; sent++)
      await new Promise<void>((resolve) => socket.send(`packet ${sent}`, port, host, () => resolve()));
    await sleep(2);
  }
  await knocking;
  print({ sent, outcomes });
  socket.close();
}

await (positionals[0] === "listen" ? listen() : send());
