// SPDX-License-Identifier: Apache-2.0
// What every runtime adapter must do, told in sockets: the same suite runs under Bun and under Deno. The
// peers are node:net sockets, so that an adapter is never tested against itself.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime, SocketEvents, TcpSocket } from "../../src/runtime/types.ts";

export interface ContractTest {
  readonly name: string;
  run(runtime: Runtime): Promise<void>;
}

/** Everything that a socket told, and a way to wait for it. */
class Heard implements SocketEvents {
  received = 0;
  sum = 0;
  ended = false;
  closes = 0;
  error: Error | undefined;
  drains = 0;
  onData: (bytes: Uint8Array) => void = () => {};

  data(bytes: Uint8Array): void {
    this.received += bytes.length;
    for (const byte of bytes) this.sum = (this.sum + byte) % 65521;
    this.onData(bytes);
  }

  drain(): void {
    this.drains++;
  }

  end(): void {
    this.ended = true;
  }

  close(error: Error | undefined): void {
    this.closes++;
    this.error = error;
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 8000; !condition(); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`Still waiting for: ${what}`);
  }
}

interface Accepted {
  readonly socket: TcpSocket;
  readonly heard: Heard;
  readonly peer: Socket;
  readonly peerHeard: { received: number; sum: number; ended: boolean; error: string | undefined; closed: boolean };
}

/** A connection from a node:net client to the runtime's listener. */
async function accepted(runtime: Runtime, host: string, target: string, body: (pair: Accepted) => Promise<void>) {
  let socket: TcpSocket | undefined;
  const heard = new Heard();
  const listener = await runtime.listen({
    host,
    port: 0,
    accept(accepted) {
      socket = accepted;
      return heard;
    },
  });
  const peer = netConnect({ host: target, port: listener.local.port, allowHalfOpen: true });
  const peerHeard: Accepted["peerHeard"] = { received: 0, sum: 0, ended: false, error: undefined, closed: false };
  peer.on("data", (bytes: Uint8Array) => {
    peerHeard.received += bytes.length;
    for (const byte of bytes) peerHeard.sum = (peerHeard.sum + byte) % 65521;
  });
  peer.on("end", () => {
    peerHeard.ended = true;
  });
  peer.on("close", () => {
    peerHeard.closed = true;
  });
  peer.on("error", (error: Error & { code?: string }) => {
    peerHeard.error = error.code ?? error.message;
  });
  try {
    await until("accept", () => socket !== undefined);
    await body({ socket: socket as TcpSocket, heard, peer, peerHeard });
  } finally {
    peer.destroy();
    socket?.reset();
    listener.close();
  }
}

/** A connection of the runtime to a node:net server. */
async function connected(runtime: Runtime, body: (socket: TcpSocket, heard: Heard, peer: Socket) => Promise<void>) {
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peers: Socket[] = [];
  server.on("connection", (peer: Socket) => {
    peer.on("error", () => {});
    peers.push(peer);
  });
  const address = server.address();
  const heard = new Heard();
  assert(address !== null && typeof address === "object");
  const socket = await runtime.connect({ host: "127.0.0.1", port: address.port }, heard);
  try {
    await until("server side", () => peers.length > 0);
    await body(socket, heard, peers[0] as Socket);
  } finally {
    socket.reset();
    peers[0]?.destroy();
    server.close();
  }
}

/** How many of this process's descriptors lead to a file. */
function descriptorsOf(file: string | undefined): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false;
    }
  }).length;
}

function pattern(length: number): { bytes: Uint8Array; sum: number } {
  const bytes = new Uint8Array(length);
  let sum = 0;
  for (let index = 0; index < length; index++) {
    bytes[index] = (index * 31 + (index >> 8)) & 0xff;
    sum = (sum + (bytes[index] ?? 0)) % 65521;
  }
  return { bytes, sum };
}

/** Writes to a peer that does not read, until it is told to stop. @returns how many bytes. */
function stall(socket: TcpSocket): number {
  const { bytes } = pattern(1_000_000);
  let written = 0;
  for (let more = true; more; written += bytes.length) {
    assert(written < 64_000_000, "write() never said stop");
    more = socket.write(bytes.slice());
  }
  return written;
}

export const contract: readonly ContractTest[] = [
  {
    name: "a dual-stack listener takes both families and tells the peer's address",
    run: async (runtime) => {
      await accepted(runtime, "::", "127.0.0.1", async ({ socket, peer }) => {
        assert.match(socket.remote.address, /^(::ffff:)?127\.0\.0\.1$/);
        assert.equal(socket.remote.port, peer.localPort);
        assert.equal(socket.local.port, peer.remotePort);
      });
      await accepted(runtime, "::", "::1", async ({ socket }) => assert.equal(socket.remote.address, "::1"));
    },
  },
  {
    name: "bytes go both ways unchanged",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer, peerHeard }) => {
        const { bytes, sum } = pattern(300_000);
        peer.write(bytes);
        await until("bytes of the peer", () => heard.received === bytes.length);
        assert.equal(heard.sum, sum);
        socket.write(bytes.slice());
        await until("bytes at the peer", () => peerHeard.received === bytes.length);
        assert.equal(peerHeard.sum, sum);
      }),
  },
  {
    name: "the peer's FIN is heard once and 20 MB still go the other way",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer, peerHeard }) => {
        peer.end("question");
        await until("end", () => heard.ended);
        assert.equal(heard.received, 8);
        assert.equal(heard.closes, 0);
        const { bytes, sum } = pattern(20_000_000);
        socket.write(bytes.slice());
        socket.shutdown();
        await until("the answer and its end", () => peerHeard.ended);
        assert.equal(peerHeard.received, bytes.length);
        assert.equal(peerHeard.sum, sum);
        await until("close", () => heard.closes === 1);
        assert.equal(heard.error, undefined);
      }),
  },
  {
    name: "after an own FIN the peer's bytes and its FIN are heard",
    run: (runtime) =>
      connected(runtime, async (socket, heard, peer) => {
        socket.write(pattern(10).bytes);
        socket.shutdown();
        peer.resume();
        await once(peer, "end");
        const { bytes, sum } = pattern(3_000_000);
        peer.end(bytes);
        await until("end", () => heard.ended);
        assert.equal(heard.received, bytes.length);
        assert.equal(heard.sum, sum);
        await until("close", () => heard.closes === 1);
        assert.equal(heard.error, undefined);
      }),
  },
  {
    name: "a reset is no FIN",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ heard, peer }) => {
        peer.write("x");
        await until("byte", () => heard.received === 1);
        peer.resetAndDestroy();
        await until("close", () => heard.closes === 1);
        assert.equal(heard.ended, false);
      }),
  },
  {
    name: "a reset after an own FIN is no FIN either",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer, peerHeard }) => {
        socket.shutdown();
        await until("own FIN at the peer", () => peerHeard.ended);
        peer.resetAndDestroy();
        await until("close", () => heard.closes === 1);
        assert.equal(heard.ended, false);
      }),
  },
  {
    name: "reset() reaches the peer as RST, with unread bytes and without",
    run: async (runtime) => {
      for (const unread of [false, true]) {
        await accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer, peerHeard }) => {
          if (unread) {
            socket.pause();
            peer.write(pattern(100_000).bytes);
            await sleep(50);
          }
          socket.reset();
          await until("RST", () => peerHeard.error === "ECONNRESET");
          await until("close", () => heard.closes === 1);
        });
      }
    },
  },
  {
    name: "close() ends at once and is heard once; later calls do nothing",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peerHeard }) => {
        socket.close();
        await until("end at the peer", () => peerHeard.ended || peerHeard.closed);
        await until("close", () => heard.closes === 1);
        socket.close();
        socket.reset();
        socket.shutdown();
        socket.pause();
        socket.resume();
        socket.write(pattern(10).bytes);
        await sleep(20);
        assert.equal(heard.closes, 1);
      }),
  },
  {
    name: "a stalled peer makes write() say stop, and drain follows",
    run: (runtime) =>
      connected(runtime, async (socket, heard, peer) => {
        const written = stall(socket);
        await sleep(50);
        assert.equal(heard.drains, 0);
        let received = 0;
        peer.on("data", (chunk: Uint8Array) => {
          received += chunk.length;
        });
        peer.resume();
        await until("everything", () => received === written);
        await until("drain", () => heard.drains > 0);
      }),
  },
  {
    name: "of several stalled clients of a listener each drains in its turn, whatever became of the others",
    async run(runtime) {
      const accepted: { readonly socket: TcpSocket; readonly heard: Heard }[] = [];
      const accept = (socket: TcpSocket) => {
        const heard = new Heard();
        accepted.push({ socket, heard });
        return heard;
      };
      const listener = await runtime.listen({ host: "127.0.0.1", port: 0, accept });
      const stalled = async () => {
        const peer = netConnect({ host: "127.0.0.1", port: listener.local.port });
        peer.on("error", () => {});
        const count = accepted.length;
        await until("accept", () => accepted.length > count);
        const { socket, heard } = accepted[count] as (typeof accepted)[0];
        stall(socket);
        return { peer, socket, heard };
      };
      const [first, second, third] = [await stalled(), await stalled(), await stalled()];
      first.peer.destroy();
      await until("the first's end", () => first.heard.closes === 1);
      second.peer.resume();
      await until("the second's drain", () => second.heard.drains > 0);
      second.peer.pause();
      // The kernel may have taken more of the third's meanwhile.
      for (const { socket } of [second, third]) stall(socket);
      const before = [second.heard.drains, third.heard.drains] as const;
      third.peer.resume();
      await until("the third's drain", () => third.heard.drains > before[1]);
      third.socket.reset();
      second.peer.resume();
      await until("the second's drain again", () => second.heard.drains > before[0]);
      second.peer.destroy();
      listener.close();
    },
  },
  {
    name: "pause() leaves the bytes with the kernel, resume() brings them",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer }) => {
        socket.pause();
        const { bytes, sum } = pattern(40_000_000);
        peer.end(bytes);
        await sleep(200);
        assert(heard.received < 16_000_000, `paused, yet ${heard.received} bytes came`);
        socket.resume();
        await until("all bytes and the end", () => heard.ended);
        assert.equal(heard.received, bytes.length);
        assert.equal(heard.sum, sum);
      }),
  },
  {
    name: "keepAlive() lets the kernel ask a silent peer",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket }) => {
        socket.keepAlive(60_000);
        const port = socket.local.port.toString(16).toUpperCase().padStart(4, "0");
        const peerPort = socket.remote.port.toString(16).toUpperCase().padStart(4, "0");
        // /proc/net/tcp, sixth field: timer 02 is keepalive, its time in hundredths of a second.
        const line = readFileSync("/proc/net/tcp", "utf8")
          .split("\n")
          .find((row) => new RegExp(`:${port} [0-9A-F]+:${peerPort} 01 `).test(row));
        const [timer, hundredths] = line?.trim().split(/\s+/)[5]?.split(":") ?? [];
        assert.equal(timer, "02");
        const seconds = Number.parseInt(hundredths ?? "", 16) / 100;
        assert(seconds > 55 && seconds <= 61, `keepalive after ${seconds} s`);
      }),
  },
  {
    name: "events can be handed over between two packets",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer }) => {
        const second = new Heard();
        heard.onData = () => {
          socket.events = second;
        };
        peer.write("one");
        await until("first", () => heard.received === 3);
        peer.end("two");
        await until("second", () => second.ended);
        assert.equal(heard.received, 3);
        assert.equal(second.received, 3);
      }),
  },
  {
    name: "withDescriptor() gives the socket's own descriptor, leaves none open, and none after the end",
    run: (runtime) =>
      accepted(runtime, "127.0.0.1", "127.0.0.1", async ({ socket, heard, peer }) => {
        // /proc/net/tcp: local and remote address, state, ..., inode of the socket.
        const file = socket.withDescriptor((fd) => readlinkSync(`/proc/self/fd/${fd}`));
        const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
        const row = readFileSync("/proc/net/tcp", "utf8")
          .split("\n")
          .find((line) => line.includes(`:${hex(socket.local.port)} 0100007F:${hex(socket.remote.port)} `));
        assert.equal(`socket:[${row?.trim().split(/\s+/)[9]}]`, file);
        assert.throws(() => socket.withDescriptor(() => assert.fail("thrown by the caller")), /thrown by the caller/);
        assert.equal(descriptorsOf(file), 1);
        peer.write("alive");
        await until("data after the calls", () => heard.received === 5);
        socket.reset();
        await until("close", () => heard.closes === 1);
        assert.equal(
          socket.withDescriptor(() => assert.fail("called")),
          undefined,
        );
      }),
  },
  {
    name: "connect() to a closed port rejects with its code",
    run: async (runtime) => {
      const listener = await runtime.listen({ host: "127.0.0.1", port: 0, accept: () => new Heard() });
      const { port } = listener.local;
      listener.close();
      await assert.rejects(runtime.connect({ host: "127.0.0.1", port }, new Heard()), { code: "ECONNREFUSED" });
    },
  },
  {
    name: "connect() to a unix socket: bytes and FIN both ways, no addresses, keepAlive() is no harm",
    run: async (runtime) => {
      const directory = mkdtempSync(join(tmpdir(), "ttgate-test-"));
      const path = join(directory, "socket");
      const server = createServer({ allowHalfOpen: true }, (peer) => {
        peer.on("data", (bytes: Uint8Array) => peer.write(bytes));
        peer.on("end", () => peer.end());
      });
      try {
        await assert.rejects(runtime.connect({ path }, new Heard()), { code: "ENOENT" });
        await new Promise<void>((resolve) => server.listen(path, resolve));
        const heard = new Heard();
        const socket = await runtime.connect({ path }, heard);
        assert.deepEqual(socket.remote, { address: "", port: 0 });
        socket.keepAlive(60_000);
        const { bytes, sum } = pattern(300_000);
        socket.write(bytes.slice());
        socket.shutdown();
        await until("everything back, and the end", () => heard.ended && heard.closes === 1);
        assert.deepEqual([heard.received, heard.sum], [bytes.length, sum]);
      } finally {
        server.close();
        rmSync(directory, { recursive: true });
      }
    },
  },
  {
    name: "connect() without a descriptor rejects with EMFILE, and not as if nobody listened",
    run: async (runtime) => {
      const listener = await runtime.listen({ host: "127.0.0.1", port: 0, accept: () => new Heard() });
      const { port } = listener.local;
      const limit = spawnSync("prlimit", ["--pid", String(process.pid), "--nofile", "-o", "SOFT", "--noheadings"]);
      const set = (soft: string) => spawnSync("prlimit", ["--pid", String(process.pid), `--nofile=${soft}:`]);
      const held: number[] = [];
      set("200");
      try {
        assert.throws(() => {
          for (;;) held.push(openSync("/dev/null", "r"));
        });
        await assert.rejects(runtime.connect({ host: "127.0.0.1", port }, new Heard()), { code: "EMFILE" });
      } finally {
        for (const fd of held) closeSync(fd);
        set(limit.stdout.toString().trim());
      }
      (await runtime.connect({ host: "127.0.0.1", port }, new Heard())).close();
      listener.close();
    },
  },
  {
    name: "listen() on a port in use rejects with its code",
    run: async (runtime) => {
      const listener = await runtime.listen({ host: "127.0.0.1", port: 0, accept: () => new Heard() });
      const again = runtime.listen({ host: "127.0.0.1", port: listener.local.port, accept: () => new Heard() });
      await assert.rejects(again, { code: "EADDRINUSE" });
      listener.close();
    },
  },
  {
    name: "a thousand connections at a time, each echoed",
    run: async (runtime) => {
      const listener = await runtime.listen({
        host: "127.0.0.1",
        port: 0,
        accept: (socket) => ({
          data: (bytes) => void socket.write(bytes),
          drain() {},
          end: () => socket.shutdown(),
          close() {},
        }),
      });
      const clients = Array.from({ length: 1000 }, () => netConnect({ host: "127.0.0.1", port: listener.local.port }));
      let echoed = 0;
      let closed = 0;
      for (const client of clients) {
        client.on("error", () => {});
        client.on("data", (bytes: Uint8Array) => {
          echoed += bytes.length;
          client.end();
        });
        client.on("close", () => closed++);
        client.write("ping");
      }
      await until("all echoes", () => echoed === 4000);
      await until("all closed", () => closed === 1000);
      listener.close();
    },
  },
  {
    name: "the HTTP server answers and stops",
    run: async (runtime) => {
      const peers: unknown[] = [];
      const server = await runtime.serve({ host: "127.0.0.1", port: 0 }, (_request, peer) => {
        peers.push(peer?.address, typeof peer?.port);
        return new Response("here", { status: 201 });
      });
      const reply = await fetch(`http://127.0.0.1:${server.port}/`);
      assert.equal(reply.status, 201);
      assert.equal(await reply.text(), "here");
      assert.deepEqual(peers, ["127.0.0.1", "number"]);
      await server.close();
      await assert.rejects(fetch(`http://127.0.0.1:${server.port}/`));
    },
  },
];
