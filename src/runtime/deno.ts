// SPDX-License-Identifier: Apache-2.0
// Deno's side of the runtime port. Sockets are node:net, which can reset a connection; its listener
// stops for good when accept() runs out of descriptors, so the gate keeps well below the limit.
import { createServer, connect as netConnect, type Socket } from "node:net";
import process from "node:process";
import { connected } from "./connected.ts";
import { native } from "./deno_ffi.ts";
import {
  type ConnectTarget,
  type Dialler,
  type HttpAddress,
  type HttpHandler,
  type HttpServer,
  type Listener,
  type ListenOptions,
  type NativeLibrary,
  type Runtime,
  type SocketEvents,
  silentEvents,
  type TcpSocket,
} from "./types.ts";

interface DenoServeInfo {
  readonly remoteAddr: { readonly transport: string; readonly hostname?: string; readonly port?: number };
}

interface DenoInterface {
  readonly stderr: { write(bytes: Uint8Array): Promise<number> };
  serve(
    options: { hostname?: string; port?: number; path?: string; transport?: "unix"; onListen(): void },
    handler: (request: Request, info: DenoServeInfo) => Response | Promise<Response>,
  ): { readonly addr: { readonly port?: number }; shutdown(): Promise<void> };
}

declare const Deno: DenoInterface;

/** What node:net does not show: a duplicate of the descriptor, which is the caller's to close. */
interface SocketInside extends Socket {
  readonly _handle?: { fdForIpc?(): number } | null;
}

let libc: NativeLibrary<{ readonly close: readonly [readonly ["i32"], "i32"] }> | undefined;

/** Deno's own close knows only descriptors that it opened. */
function closeDescriptor(fd: number): void {
  libc ??= native.open("libc.so.6", { close: [["i32"], "i32"] });
  libc.calls.close(fd);
}

class DenoSocket implements TcpSocket {
  events: SocketEvents = silentEvents;
  readonly remote;
  readonly local;
  readonly #raw: Socket;

  constructor(raw: Socket) {
    this.#raw = raw;
    this.remote = { address: raw.remoteAddress ?? "", port: raw.remotePort ?? 0 };
    this.local = { address: raw.localAddress ?? "", port: raw.localPort ?? 0 };
    let failure: Error | undefined;
    raw.setNoDelay(true);
    raw.on("data", (bytes: Uint8Array) => this.events.data(bytes, this));
    raw.on("drain", () => this.events.drain(this));
    raw.on("end", () => this.events.end(this));
    raw.on("error", (error: Error) => {
      failure = error;
    });
    raw.on("close", () => this.events.close(failure, this));
  }

  write(bytes: Uint8Array): boolean {
    return this.#raw.destroyed || this.#raw.write(bytes);
  }

  shutdown(): void {
    this.#raw.end();
  }

  keepAlive(idleMs: number): void {
    this.#raw.setKeepAlive(true, idleMs);
  }

  pause(): void {
    this.#raw.pause();
  }

  resume(): void {
    this.#raw.resume();
  }

  reset(): void {
    this.#raw.resetAndDestroy();
  }

  close(): void {
    this.#raw.end();
    this.#raw.destroy();
  }

  withDescriptor<T>(use: (fd: number) => T): T | undefined {
    const fd = this.#raw.destroyed ? -1 : ((this.#raw as SocketInside)._handle?.fdForIpc?.() ?? -1);
    if (fd < 0) return undefined;
    try {
      return use(fd);
    } finally {
      closeDescriptor(fd);
    }
  }
}

/** A descriptor is taken by node:net without a word, and nothing is ever accepted on it: nobody is to hand one in. */
function listen(options: ListenOptions): Promise<Listener> {
  if (options.fd !== undefined) return Promise.reject(new Error("Deno accepts nothing on a socket of another process"));
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, (raw) => {
      const socket = new DenoSocket(raw);
      socket.events = options.accept(socket);
    });
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port }, () => {
      const bound = server.address();
      if (bound === null || typeof bound === "string") return reject(new Error("Listening on something else than TCP"));
      resolve({ local: { address: bound.address, port: bound.port }, fd: undefined, close: () => server.close() });
    });
  });
}

function dial(to: ConnectTarget, events: SocketEvents, dialler: Dialler): void {
  const raw = netConnect({ ...to, allowHalfOpen: true });
  const failed = (error: Error) => dialler.failed(error);
  raw.once("error", failed);
  raw.once("connect", () => {
    raw.off("error", failed);
    const socket = new DenoSocket(raw);
    socket.events = events;
    dialler.connected(socket);
  });
}

/** For replies that are under way: shutdown() waits for ever for a peer that does not read its own. */
const shutdownMs = 1000;

async function atMost(end: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([end, over]);
  clearTimeout(timer);
}

async function serve(address: HttpAddress, handler: HttpHandler): Promise<HttpServer> {
  const where =
    address.unixPath === undefined
      ? { hostname: address.host ?? "127.0.0.1", port: address.port ?? 0 }
      : { transport: "unix" as const, path: address.unixPath };
  const server = Deno.serve({ ...where, onListen() {} }, (request, { remoteAddr: { hostname, port } }) =>
    handler(request, hostname === undefined || port === undefined ? undefined : { address: hostname, port }),
  );
  return { port: server.addr.port, close: () => atMost(server.shutdown(), shutdownMs) };
}

export const runtime: Runtime = {
  name: "deno",
  version: process.versions["deno"] ?? "",
  native,
  adoptsListeners: false,
  listen,
  dial,
  connect: connected(dial),
  serve,
  // What node:fs writes to a descriptor it writes at once, whatever it is asked for.
  writeError: (bytes) => Deno.stderr.write(bytes),
};
