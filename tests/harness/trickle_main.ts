// SPDX-License-Identifier: Apache-2.0
// Many clients that send a byte a second of what is expected, each from an address of its own, to be started inside a
// network namespace: slow enough that none is ever judged. Prints a line of JSON a second.
//   trickle_main.ts HOST PORT BASE COUNT
import { createConnection, type Socket } from "node:net";
import process from "node:process";
import { seal } from "./tapetrack_wire.ts";
import { sleep } from "./wait.ts";

export interface Trickle {
  readonly opened: number;
  readonly open: number;
  readonly ended: number;
}

const [host = "", port = "0", base = "10.78.0.0", wanted = "0"] = process.argv.slice(2);
const [first = 10, second = 78] = base.split(".").map(Number);
const packet = seal(new TextEncoder().encode("volume"), "bare");
/** One more would be enough for a verdict. */
const undecidedBytes = 31;
/** With how many bytes were sent. */
const sockets = new Map<Socket, number>();
let opened = 0;
let ended = 0;

function connect(number: number): Promise<void> {
  const localAddress = `${first}.${second}.${(number >> 8) & 255}.${number & 255}`;
  const socket = createConnection({ host, port: Number(port), localAddress });
  socket.setNoDelay();
  socket.on("error", () => {});
  return new Promise((resolve) => {
    socket.once("connect", () => {
      opened++;
      sockets.set(socket, 0);
      resolve();
    });
    socket.once("close", () => {
      if (sockets.delete(socket)) ended++;
      resolve();
    });
  });
}

async function openAll(): Promise<void> {
  let next = 1;
  const worker = async () => {
    while (next <= Number(wanted)) await connect(next++);
  };
  await Promise.all(Array.from({ length: 100 }, worker));
}

process.once("SIGTERM", () => process.exit(0));
void openAll();
for (;;) {
  await sleep(1000);
  for (const [socket, at] of sockets) {
    if (at === undecidedBytes) continue;
    socket.write(packet.subarray(at, at + 1));
    sockets.set(socket, at + 1);
  }
  process.stdout.write(`${JSON.stringify({ opened, open: sockets.size, ended } satisfies Trickle)}\n`);
}
