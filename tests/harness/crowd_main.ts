// SPDX-License-Identifier: Apache-2.0
// Everybody who may come to a gate, at a steady rate and in random order: clients that are served, that end or reset
// anywhere, that stall; strangers; nobody in particular. Prints JSON on SIGTERM.
//   crowd_main.ts --host ADDR --port N --rate N --seed N --from ADDR...
import { createConnection, type Socket } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";
import { untilStopped } from "./paced.ts";
import { createRandom, pick } from "./random.ts";
import { TapeTrackClient } from "./tapetrack.ts";
import { seal } from "./tapetrack_wire.ts";
import { sleep } from "./wait.ts";

export interface Crowd {
  /** How many came of each kind. */
  readonly came: Readonly<Record<string, number>>;
  /** What was said to clients that are to be served, but for those whose source was banned. */
  readonly failures: Readonly<Record<string, number>>;
}

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    rate: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    from: { type: "string", multiple: true, default: [] },
    /** Sources that only ever send what is expected. */
    friend: { type: "string", multiple: true, default: [] },
  },
});
const { host, from, friend } = values;
const port = Number(values.port);
const random = createRandom(Number(values.seed));
const packet = seal(new TextEncoder().encode("volume 1"), "bare");
const http = Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
const came: Record<string, number> = {};
const failures: Record<string, number> = {};

/** A connection that goes whatever happens to it, by FIN or RST. */
async function visit(localAddress: string, act: (socket: Socket) => Promise<void> | void): Promise<void> {
  const socket = createConnection({ host, port, localAddress });
  socket.on("error", () => {});
  socket.on("data", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.once("connect", () => void act(socket));
  await Promise.race([closed, sleep(1500)]);
  if (random(2) === 0) socket.destroy();
  else socket.resetAndDestroy();
}

const kinds: Readonly<Record<string, () => Promise<void>>> = {
  async served() {
    const localAddress = pick(random, friend);
    try {
      using client = await TapeTrackClient.connect({ host, port, localAddress });
      for (let count = random(3); count >= 0; count--) await client.exchange(`visit ${count}`);
    } catch (error) {
      failures[String(error)] = (failures[String(error)] ?? 0) + 1;
    }
  },
  "gone after its packet": () =>
    visit(pick(random, friend), (socket) => void socket.write(packet, () => socket.resetAndDestroy())),
  "gone at once": () => visit(pick(random, from), (socket) => void socket.resetAndDestroy()),
  "FIN after its packet": () => visit(pick(random, friend), (socket) => void socket.end(packet)),
  "half a packet": () =>
    visit(pick(random, from), (socket) => void socket.end(packet.subarray(0, random(packet.length)))),
  silent: () => visit(pick(random, from), () => {}),
  stranger: () => visit(pick(random, from), (socket) => void socket.write(http)),
  "stranger, byte by byte": () =>
    visit(pick(random, from), async (socket) => {
      for (const byte of http.subarray(0, 1 + random(8))) {
        socket.write(Uint8Array.of(byte));
        await sleep(5);
      }
    }),
};

await untilStopped(Number(values.rate), () => {
  const [name, act] = pick(random, Object.entries(kinds));
  came[name] = (came[name] ?? 0) + 1;
  return act();
});
process.stdout.write(`${JSON.stringify({ came, failures } satisfies Crowd)}\n`);
process.exit(0);
