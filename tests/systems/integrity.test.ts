// SPDX-License-Identifier: Apache-2.0
// A thousand connections at a time through the gate, each with streams of random size, cutting and pauses both
// ways, readers that stop for a while and either side ending first: every byte arrives, in order, and every end.
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { RunningGate } from "../harness/gate.ts";
import { friendly } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { createRandom } from "../harness/random.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(240_000);

const host = "127.0.0.1";
const seed = Number(process.env["TTGATE_INTEGRITY_SEED"] ?? randomInt(2 ** 31));
const streams = 1000;
const largestBytes = 400_000;
const material = randomBytes(1024 * 1024);

/** One end of a connection: writes its own stream, hashes what comes. */
class End {
  readonly #sent = createHash("sha256");
  readonly #received = createHash("sha256");
  readonly done: Promise<{ sent: string; received: string }>;
  readonly #socket: Socket;
  readonly #random: (below: number) => number;

  /** @param opening what was sent before. */
  constructor(socket: Socket, random: (below: number) => number, opening: Uint8Array = new Uint8Array(0)) {
    this.#sent.update(opening);
    this.#socket = socket;
    this.#random = random;
    this.done = Promise.all([this.#write(), this.#read()]).then(() => ({
      sent: this.#sent.digest("hex"),
      received: this.#received.digest("hex"),
    }));
  }

  /** What a listener had read already. */
  hear(bytes: Uint8Array): void {
    this.#received.update(bytes);
  }

  async #write(): Promise<void> {
    const random = this.#random;
    for (let left = random(4) === 0 ? random(50) : random(largestBytes); left > 0; ) {
      const length = Math.min(left, 1 + random(random(3) === 0 ? 20 : 30_000));
      const start = random(material.length - length);
      const piece = material.subarray(start, start + length);
      this.#sent.update(piece);
      left -= length;
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(piece, (error) => (error ? reject(error) : resolve()));
      });
      if (random(8) === 0) await sleep(random(40));
    }
    this.#socket.end();
  }

  #read(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.on("error", reject);
      this.#socket.on("end", resolve);
      this.#socket.on("data", (bytes) => {
        this.#received.update(bytes);
        if (this.#random(20) !== 0) return;
        this.#socket.pause();
        setTimeout(() => this.#socket.resume(), this.#random(60));
      });
    });
  }
}

describeWith("executable", "deno")("a thousand streams at a time", () => {
  test.each(["executable", "deno"] as const)("arrive unchanged, by the %s", async (form) => {
    await using stack = new AsyncDisposableStack();
    const opening = friendly.length + 4;
    const behind = new Map<number, End>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const held: Uint8Array[] = [];
      const opened = (bytes: Uint8Array) => {
        held.push(bytes);
        const all = Buffer.concat(held);
        if (all.length < opening) return;
        socket.off("data", opened);
        const number = all.readUInt32BE(friendly.length);
        const end = new End(socket, createRandom(seed + 2 * number + 1));
        end.hear(all);
        behind.set(number, end);
      };
      socket.on("error", () => {});
      socket.on("data", opened);
    });
    const serverPort = await freePort();
    await new Promise<void>((resolve) => server.listen(serverPort, host, 2000, resolve));
    stack.defer(() => void server.close());
    const port = await freePort();
    const gate = stack.use(await RunningGate.start(["-l", `${host}:${port}`, "-u", `${host}:${serverPort}`], { form }));
    const clients = Array.from({ length: streams }, (_, number) => {
      const socket = connect({ host, port, allowHalfOpen: true });
      const first = Buffer.concat([friendly, Buffer.alloc(4)]);
      first.writeUInt32BE(number, friendly.length);
      socket.write(first);
      return new End(socket, createRandom(seed + 2 * number), first);
    });
    const results = await Promise.all(
      clients.map(async (end, number) => {
        const near = await end.done;
        const far = await (await waitFor(`stream ${number}`, () => behind.get(number))).done;
        return { near, far };
      }),
    );
    expect(results.filter(({ near, far }) => near.received !== far.sent).length, `seed ${seed}`).toBe(0);
    expect(results.filter(({ near, far }) => near.sent !== far.received).length, `seed ${seed}`).toBe(0);
    const status = await gate.until("the end of all", ({ connections }) => connections.active === 0);
    expect(status.connections).toMatchObject({ relayed: streams, foreign: 0, undecided: 0, refusedFull: 0 });
  });
});
