// SPDX-License-Identifier: Apache-2.0
// What ttgate needs of a JavaScript runtime beyond the node: modules that Bun and Deno share: TCP
// sockets, an HTTP server and native calls. Each runtime has one adapter file; nobody else names it.

/** Where a socket is bound or connected. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A TCP port, or a unix socket. */
export type ConnectTarget = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * What a connection's owner hears, and of which connection: one object may hear several. Swapped as the connection
 * goes from sniffing to relaying.
 */
export interface SocketEvents {
  /** Bytes that belong to the receiver: they are not reused. */
  data(bytes: Uint8Array, from: TcpSocket): void;
  /** Everything that was written is with the kernel again; only after a write that returned false. */
  drain(to: TcpSocket): void;
  /** The peer sent FIN; writing goes on. */
  end(from: TcpSocket): void;
  /** The last event, exactly once, whoever ended the connection. */
  close(error: Error | undefined, socket: TcpSocket): void;
}

/** For a connection whose owner wants to hear nothing of it. */
export const silentEvents: SocketEvents = { data() {}, drain() {}, end() {}, close() {} };

/**
 * One connection, of TCP unless it was made to a unix socket. Every method may be called at any time, also after the end. It closes by itself
 * when both sides have sent FIN.
 */
export interface TcpSocket {
  /** The peer, as the runtime prints it: on a dual-stack listener perhaps `::ffff:192.0.2.1`. */
  readonly remote: Endpoint;
  readonly local: Endpoint;
  events: SocketEvents;
  /** Sends in order; the bytes and the buffer they are in are the socket's from now on. False: kept in memory, stop until `drain`. */
  write(bytes: Uint8Array): boolean;
  /** Asks a silent peer whether it is still there (RFC 9293 3.8.4), first after this much silence. */
  keepAlive(idleMs: number): void;
  /** FIN, after everything that was written. The other direction stays open. */
  shutdown(): void;
  pause(): void;
  resume(): void;
  /** Ends at once with RST. */
  reset(): void;
  /** Ends at once; unsent bytes are lost. */
  close(): void;
  /**
   * Calls with a descriptor of the socket, for a socket option that the runtime does not offer; it is valid
   * during the call only. @returns undefined, without the call, when there is none (any more).
   */
  withDescriptor<T>(use: (fd: number) => T): T | undefined;
}

/** Who waits for a connection. One of both is called, once, perhaps before `dial` returns. */
export interface Dialler {
  connected(socket: TcpSocket): void;
  /** @param error an Error that has `code` (ECONNREFUSED, EMFILE, ...). */
  failed(error: unknown): void;
}

export interface ListenOptions {
  /** An IP address; `::` takes IPv4 clients too. */
  readonly host: string;
  readonly port: number;
  /** A listening socket of host and port that another process made: taken instead of a new one, and closed with it. */
  readonly fd?: number | undefined;
  /** A new connection; returns who hears of it. */
  readonly accept: (socket: TcpSocket) => SocketEvents;
}

export interface Listener {
  readonly local: Endpoint;
  /** Undefined where the runtime does not show it. */
  readonly fd: number | undefined;
  /** Stops accepting; connections that are open go on. */
  close(): void;
}

export interface HttpAddress {
  readonly host?: string;
  readonly port?: number;
  /** A unix socket's path, instead of host and port. */
  readonly unixPath?: string;
}

export interface HttpServer {
  readonly port: number | undefined;
  close(): Promise<void>;
}

/** `peer`: who asks; undefined on a unix socket. */
export type HttpHandler = (request: Request, peer: Endpoint | undefined) => Response | Promise<Response>;

/** `buf`: a view or null, passed by address for the time of the call. `ptr`: an address as bigint. */
export type NativeType = "i32" | "u32" | "i64" | "u64" | "ptr" | "buf" | "void";

/** Argument types and return type, as in C. */
export type NativeSymbols = Readonly<Record<string, readonly [args: readonly NativeType[], result: NativeType]>>;

type NativeValue<T extends NativeType> = T extends "i32" | "u32"
  ? number
  : T extends "i64" | "u64" | "ptr"
    ? bigint
    : T extends "buf"
      ? NativeBuffer | null
      : undefined;

/** Explicit ArrayBuffer: the address of a small `new Uint8Array(n)` goes stale on Bun. */
export type NativeBuffer = Uint8Array<ArrayBuffer>;

type NativeArguments<A extends readonly NativeType[]> = { -readonly [I in keyof A]: NativeValue<A[I]> };

export type NativeCalls<S extends NativeSymbols> = {
  readonly [N in keyof S]: (...args: NativeArguments<S[N][0]>) => NativeValue<S[N][1]>;
};

export interface NativeLibrary<S extends NativeSymbols> extends Disposable {
  readonly calls: NativeCalls<S>;
}

/** Native calls. Out-of-range and missing arguments throw; nothing is truncated. */
export interface Native {
  /** @throws Error when the library or one of the symbols is not there. */
  open<const S extends NativeSymbols>(path: string, symbols: S): NativeLibrary<S>;
  /** The address of a buffer; its owner must be kept referenced while C uses it. */
  address(buffer: NativeBuffer): bigint;
  /** A copy of native memory. */
  read(address: bigint, length: number): NativeBuffer;
  /** A copy of a NUL-terminated string. */
  text(address: bigint): string;
}

export interface Runtime {
  readonly name: "bun" | "deno";
  readonly version: string;
  readonly native: Native;
  /** It can accept on a listening socket that another process made. */
  readonly adoptsListeners: boolean;
  /** @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL). */
  listen(options: ListenOptions): Promise<Listener>;
  dial(to: ConnectTarget, events: SocketEvents, dialler: Dialler): void;
  /** The same as a promise, which rejects with that error. */
  connect(to: ConnectTarget, events: SocketEvents): Promise<TcpSocket>;
  serve(address: HttpAddress, handler: HttpHandler): Promise<HttpServer>;
  /**
   * Writes to stderr without holding up anything else, also where its reader has stopped. @returns how many bytes.
   * @throws Error with `code` (EPIPE, ENOSPC, EAGAIN).
   */
  writeError(bytes: Uint8Array): Promise<number>;
}
