// SPDX-License-Identifier: Apache-2.0
// Many real clients, each of which says its bytes in the pieces that it was told to, without a pause; a
// piece is a segment (TCP_NODELAY). From standard input, as JSON: a list of {from, pieces}. Holds the
// connections until standard input ends; prints how many could be made.
//   segments_main.ts HOST PORT < VISITS
import { createConnection, type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";

interface Visit {
  readonly from: string;
  readonly pieces: readonly string[];
}

const [, , host = "", port = "0"] = process.argv;
const atOnce = 50;
/** Kept from being collected. */
const open: Socket[] = [];

function visit({ from, pieces }: Visit): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port), localAddress: from });
    open.push(socket);
    socket.setNoDelay();
    socket.on("error", () => resolve(false));
    socket.on("connect", () => {
      for (const piece of pieces) socket.write(Uint8Array.fromHex(piece));
      resolve(true);
    });
  });
}

async function visitAll(visits: readonly Visit[]): Promise<number> {
  let made = 0;
  let next = 0;
  const work = async () => {
    for (let one = visits[next++]; one !== undefined; one = visits[next++]) if (await visit(one)) made++;
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return made;
}

const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  process.stdout.write(`${JSON.stringify({ made: await visitAll(JSON.parse(line) as Visit[]) })}\n`);
});
lines.on("close", () => process.exit(0));
