// SPDX-License-Identifier: Apache-2.0
// Bun's side of the runtime port. Sockets are Bun.listen/Bun.connect (a relay on node:net is a quarter
// slower). Known traps and what is done about them: end() with a buffer truncates, so bytes are
// written, drained and then shut down; write() may take a part, so the rest is kept here until drain.
import { closeSync, openSync, write } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import { native } from "./bun_ffi.ts";
import { peerOf } from "./bun_peer.ts";
import { connected } from "./connected.ts";
import {
  type ConnectTarget,
  type Dialler,
  type Endpoint,
  type HttpAddress,
  type HttpHandler,
  type HttpServer,
  type Listener,
  type ListenOptions,
  type Runtime,
  type SocketEvents,
  silentEvents,
  type TcpSocket,
} from "./types.ts";

const stderr = 2;
const writeSome = promisify(write);

interface RawSocket {
  data: BunSocket;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** -1 once it is closed. */
  readonly fd: number;
  write(bytes: Uint8Array): number;
  setKeepAlive(enable: boolean, idleMs: number): void;
  shutdown(): void;
  pause(): void;
  resume(): void;
  terminate(): void;
  close(): void;
}

interface RawHandlers {
  open(socket: RawSocket): void;
  data(socket: RawSocket, bytes: Uint8Array): void;
  /** See Drains. */
  drain?(socket: RawSocket): void;
  end(socket: RawSocket): void;
  close(socket: RawSocket, error: Error | undefined): void;
  error(socket: RawSocket, error: Error): void;
  connectError(socket: RawSocket, error: Error): void;
}

/** Where to: host and port, a unix socket's path, or a descriptor that listens. */
type RawAddress = RawTcpAddress | { readonly unix: string } | { readonly fd: number };

interface RawSocketOptions {
  readonly allowHalfOpen: boolean;
  readonly socket: RawHandlers;
}

interface RawTcpAddress {
  readonly hostname: string;
  readonly port: number;
}

interface BunServer {
  /** null on a unix socket. */
  requestIP(request: Request): Endpoint | null;
}

/** The part of Bun's interface that is used here; the contract in tests/runtime holds it against the real one. */
export interface BunInterface {
  readonly version: string;
  /** Of a descriptor that was given neither hostname nor port is known. */
  listen(options: RawSocketOptions & RawAddress): {
    readonly hostname: string | undefined;
    readonly port: number | undefined;
    readonly fd: number;
    /** Other handlers, also for the sockets that were accepted with those before. */
    reload(options: { readonly socket: RawHandlers }): void;
    stop(): void;
  };
  connect(options: RawSocketOptions & { readonly data: BunSocket } & RawAddress): Promise<RawSocket>;
  serve(options: {
    hostname?: string;
    port?: number;
    unix?: string;
    idleTimeout?: number;
    maxRequestBodySize: number;
    fetch(request: Request, server: BunServer): Response | Promise<Response>;
  }): { readonly port: number | undefined; stop(closeActive: boolean): Promise<void> };
}

declare const Bun: BunInterface;

/** Largest body that the status endpoint takes: a slice of a bulk ban is far below it. */
const maxRequestBytes = 8 * 1024 * 1024;
/** Longest silence on a status connection, in seconds; the event stream sends something more often. */
const httpIdleSeconds = 60;

/**
 * The `drain` handler of a listener's sockets, which is there while one of them has something to send that the kernel
 * does not take yet. A socket that has the handler is flushed, by a system call, and heard also when nothing waited:
 * after each FIN of a client.
 */
class Drains {
  readonly #reload: (isHeard: boolean) => void;
  #waiting = 0;

  constructor(reload: (isHeard: boolean) => void) {
    this.#reload = reload;
  }

  /** One more socket waits. */
  add(): void {
    if (this.#waiting++ === 0) this.#reload(true);
  }

  remove(): void {
    if (--this.#waiting === 0) this.#reload(false);
  }
}

/** shutdown() was asked for; it follows the last unsent byte. */
const ours = 1;
/** Bun tells of a FIN that follows our own by `close` alone: then `end` is made up for. */
const peers = 2;

/** Giving back less takes longer than it helps. */
const releasedBytes = 32 * 1024;

/**
 * Gives the memory of what is sent back at once. Each read is in memory of its own: what waits for the collector is
 * taken from the kernel again and again, a page fault for every 4 KiB.
 */
function release({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= releasedBytes && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

class BunSocket implements TcpSocket {
  events: SocketEvents = silentEvents;
  #raw: RawSocket | undefined;
  /** Undefined nearly always: thousands of idle sockets are held at a time. */
  #unsent: Uint8Array[] | undefined;
  /** Of the listener that accepted it. */
  readonly #drains: Drains | undefined;
  /** `ours` and `peers`: in one number, since each field counts in thousands of sockets. */
  #ended = 0;
  /** Until the connection stands. */
  dialler: Dialler | undefined;

  constructor(drains?: Drains) {
    this.#drains = drains;
  }

  takeDialler(): Dialler | undefined {
    const { dialler } = this;
    this.dialler = undefined;
    return dialler;
  }

  attach(raw: RawSocket): void {
    this.#raw = raw;
  }

  get remote() {
    const raw = this.#raw;
    const peer = raw === undefined || raw.fd < 0 ? undefined : peerOf(raw.fd);
    return { address: peer?.ipv4 ?? raw?.remoteAddress ?? "", port: peer?.port ?? raw?.remotePort ?? 0 };
  }

  get local() {
    return { address: this.#raw?.localAddress ?? "", port: this.#raw?.localPort ?? 0 };
  }

  write(bytes: Uint8Array): boolean {
    const raw = this.#raw;
    if (raw === undefined) return true;
    if (this.#unsent !== undefined) {
      this.#unsent.push(bytes);
      return false;
    }
    const sent = Math.max(0, raw.write(bytes));
    if (sent === bytes.length) {
      if (sent >= releasedBytes) release(bytes);
      return true;
    }
    this.#unsent = [bytes.subarray(sent)];
    this.#drains?.add();
    return false;
  }

  drain(): void {
    const unsent = this.#unsent;
    if (unsent === undefined || this.#raw === undefined) return;
    for (let bytes = unsent[0]; bytes !== undefined; bytes = unsent[0]) {
      const sent = Math.max(0, this.#raw.write(bytes));
      if (sent < bytes.length) {
        unsent[0] = bytes.subarray(sent);
        return;
      }
      release(bytes);
      unsent.shift();
    }
    this.#sentAll();
    if (this.#hasEnded(ours)) this.#finish();
    else this.events.drain(this);
  }

  #sentAll(): void {
    if (this.#unsent === undefined) return;
    this.#unsent = undefined;
    this.#drains?.remove();
  }

  shutdown(): void {
    this.#ended |= ours;
    if (this.#unsent === undefined) this.#finish();
  }

  ended(): void {
    this.#ended |= peers;
    this.events.end(this);
    if (this.#hasEnded(ours) && this.#unsent === undefined) this.#finish();
  }

  /** Everything is sent: FIN, and with the peer's FIN already here the connection is over. */
  #finish(): void {
    if (this.#hasEnded(peers)) this.#raw?.close();
    else this.#raw?.shutdown();
  }

  #hasEnded(direction: number): boolean {
    return (this.#ended & direction) !== 0;
  }

  keepAlive(idleMs: number): void {
    this.#raw?.setKeepAlive(true, idleMs);
  }

  pause(): void {
    this.#raw?.pause();
  }

  resume(): void {
    this.#raw?.resume();
  }

  reset(): void {
    this.#ended |= peers;
    this.#raw?.terminate();
  }

  close(): void {
    this.#ended |= peers;
    this.#raw?.close();
  }

  withDescriptor<T>(use: (fd: number) => T): T | undefined {
    const fd = this.#raw?.fd ?? -1;
    return fd < 0 ? undefined : use(fd);
  }

  closed(error: Error | undefined): void {
    if (this.#raw === undefined) return;
    this.#raw = undefined;
    this.#sentAll();
    if (error === undefined && this.#ended === ours) this.events.end(this);
    this.events.close(error, this);
  }
}

/** The same functions for all sockets: a set for each would be most of what an idle one weighs. */
const handlers: Omit<RawHandlers, "open"> = {
  data: ({ data: socket }, bytes) => socket.events.data(bytes, socket),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error),
  error: (socket, error) => socket.data.closed(error),
  connectError: () => {},
};

const drain = (socket: RawSocket) => socket.data.drain();

const dialHandlers: RawHandlers = {
  ...handlers,
  drain,
  open(raw) {
    const socket = raw.data;
    socket.attach(raw);
    socket.takeDialler()?.connected(socket);
  },
  connectError: (raw, error) => raw.data.takeDialler()?.failed(shortage(error) ?? error),
};

async function listen(options: ListenOptions): Promise<Listener> {
  const open = (raw: RawSocket) => {
    const socket = new BunSocket(drains);
    socket.attach(raw);
    raw.data = socket;
    socket.events = options.accept(socket);
  };
  const { host, port, fd } = options;
  const where = fd === undefined ? { hostname: host, port } : { fd };
  const quick: RawHandlers = { ...handlers, open };
  const slow: RawHandlers = { ...quick, drain };
  const listener = Bun.listen({ ...where, allowHalfOpen: true, socket: quick });
  const drains = new Drains((isHeard) => listener.reload({ socket: isHeard ? slow : quick }));
  return {
    local: { address: listener.hostname ?? host, port: listener.port ?? port },
    fd: listener.fd,
    close: () => listener.stop(),
  };
}

/** The promise of Bun.connect says nothing that the handlers do not say before. */
function dial(to: ConnectTarget, events: SocketEvents, dialler: Dialler): void {
  const socket = new BunSocket();
  socket.events = events;
  socket.dialler = dialler;
  const allowHalfOpen = true;
  try {
    if ("path" in to) void Bun.connect({ unix: to.path, allowHalfOpen, data: socket, socket: dialHandlers });
    else void Bun.connect({ hostname: to.host, port: to.port, allowHalfOpen, data: socket, socket: dialHandlers });
  } catch (error) {
    socket.takeDialler()?.failed(error);
  }
}

/** Bun says ECONNREFUSED also where there was no descriptor for a socket: then there is none for a file either. */
function shortage(error: unknown): unknown {
  if (!hasCode(error, "ECONNREFUSED")) return undefined;
  try {
    closeSync(openSync("/dev/null", "r"));
    return undefined;
  } catch (lack) {
    return hasCode(lack, "EMFILE") || hasCode(lack, "ENFILE") ? lack : undefined;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function serve(address: HttpAddress, handler: HttpHandler): Promise<HttpServer> {
  const where =
    address.unixPath === undefined
      ? { hostname: address.host ?? "127.0.0.1", port: address.port ?? 0, idleTimeout: httpIdleSeconds }
      : { unix: address.unixPath };
  // Without a Host header, as HTTP/1.0 has it, Bun leaves the address at the bare path.
  const fetch = (request: Request, server: BunServer) => {
    const named = request.url.startsWith("/") ? new Request(`http://localhost${request.url}`, request) : request;
    return handler(named, server.requestIP(request) ?? undefined);
  };
  const server = Bun.serve({ ...where, maxRequestBodySize: maxRequestBytes, fetch });
  return { port: server.port, close: () => server.stop(true) };
}

export const runtime: Runtime = {
  name: "bun",
  version: process.versions["bun"] ?? "",
  native,
  adoptsListeners: true,
  listen,
  dial,
  connect: connected(dial),
  serve,
  // In a thread of its own; process.stderr keeps without a limit what nobody reads.
  writeError: async (bytes) => (await writeSome(stderr, bytes)).bytesWritten,
};
