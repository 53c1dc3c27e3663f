// SPDX-License-Identifier: Apache-2.0
// How many system calls on its sockets the gate makes for a connection and for a message. A ceiling, since each is
// about half a microsecond of some eighty; a count needs no quiet machine.
import { expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { RunningGate } from "../harness/gate.ts";
import { friendly } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { SocketCalls } from "../harness/socket_calls.ts";

setDefaultTimeout(30_000);

const host = "127.0.0.1";
const connections = 200;
/** So few that each is over long before it is taken for one that lives, and given keep-alive. */
const atOnce = 10;
const messages = 1000;

/**
 * Client: accept4, epoll_ctl, TCP_NODELAY, getpeername. Server: socket, connect, TCP_NODELAY twice, epoll_ctl twice.
 * Four reads, of which two are FIN, and two sends. The end: epoll_ctl twice after the client's FIN, shutdown, and
 * epoll_ctl and close on either side. All but getpeername are Bun's own. HAProxy 2.6: 18.
 */
const perConnection = 23;
/** A read and a send. */
const perMessage = 2;
/** Of what the gate does besides, and what it does once for a connection that lives. */
const slack = 1.03;

describeWith("root", "executable", { program: "strace" })("socket calls", () => {
  test(`at most ${perConnection} for a connection that sends a packet, gets one and is closed`, async () => {
    await using bed = await Bed.open();
    const calls = await bed.count(async () => {
      for (let done = 0; done < connections; done += atOnce) {
        await Promise.all(Array.from({ length: atOnce }, () => bed.pingAndClose()));
      }
    });
    expect(calls.of("connect"), `${calls}`).toBe(connections);
    expect(calls.sum / connections, `${calls}`).toBeLessThanOrEqual(perConnection * slack);
  });

  test(`at most ${perMessage} for a message`, async () => {
    await using bed = await Bed.open();
    await using client = await bed.client();
    await client.ping();
    const calls = await bed.count(async () => {
      for (let done = 0; done < messages; done += 2) await client.ping();
    });
    // The gate may ask the kernel for its addresses meanwhile, which is a send too.
    expect(calls.of("sendto"), `${calls}`).toBeGreaterThanOrEqual(messages);
    expect(calls.sum / messages, `${calls}`).toBeLessThanOrEqual(perMessage * slack);
  });
});

/** The gate in front of a server that sends back what it gets. */
class Bed implements AsyncDisposable {
  readonly #gate: RunningGate;
  readonly #port: number;
  readonly #stack: AsyncDisposableStack;

  private constructor(gate: RunningGate, port: number, stack: AsyncDisposableStack) {
    this.#gate = gate;
    this.#port = port;
    this.#stack = stack;
  }

  static async open(): Promise<Bed> {
    await using stack = new AsyncDisposableStack();
    const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket)).listen(0, host);
    stack.defer(() => void server.close());
    await once(server, "listening");
    const { port: upstream } = server.address() as AddressInfo;
    const port = await freePort();
    const args = ["-l", `${host}:${port}`, "-u", `${host}:${upstream}`, "-s", "off"];
    const gate = stack.use(await RunningGate.start(args));
    const bed = new Bed(gate, port, stack.move());
    await bed.pingAndClose();
    return bed;
  }

  count(work: () => Promise<void>): Promise<SocketCalls> {
    return SocketCalls.during(this.#gate.child.pid, work);
  }

  async client(): Promise<Client> {
    const socket = connect({ host, port: this.#port, noDelay: true });
    await once(socket, "connect");
    return new Client(socket);
  }

  async pingAndClose(): Promise<void> {
    await using client = await this.client();
    await client.ping();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

class Client implements AsyncDisposable {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** A packet to the server, and back. */
  async ping(): Promise<void> {
    this.#socket.write(friendly);
    for (let bytes = 0; bytes < friendly.length; )
      bytes += ((await once(this.#socket, "data")) as [Uint8Array])[0].length;
  }

  /** Both directions to the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.end();
    await once(this.#socket, "close");
  }
}
