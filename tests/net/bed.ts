// SPDX-License-Identifier: Apache-2.0
// Acceptor, sessions, relay and table of a gate on loopback sockets of the real runtime, before real
// servers. Time is the test's own: deadlines come when it lets them.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { ServerAddress } from "../../src/config/endpoints.ts";
import type { Rate } from "../../src/config/forms.ts";
import { configSchema, type Options } from "../../src/config/options.ts";
import { loadSniffer } from "../../src/config/profile.ts";
import type { Bans } from "../../src/core/bans/bans.ts";
import { Events } from "../../src/core/bans/events.ts";
import type { Fence } from "../../src/core/bans/fence.ts";
import type { Terms } from "../../src/core/bans/terms.ts";
import type { BanCounters, ConnectionCounters } from "../../src/core/counters.ts";
import type { Sniffer } from "../../src/core/sniff.ts";
import { DaemonBans } from "../../src/daemon/bans.ts";
import { Gate } from "../../src/gate/gate.ts";
import type { StrikeLimits } from "../../src/gate/observer.ts";
import type { Sessions } from "../../src/gate/sessions.ts";
import type { UpstreamStatus } from "../../src/gate/upstream.ts";
import type { Upstreams } from "../../src/gate/upstreams.ts";
import type { Recorder } from "../../src/recording/recorder.ts";
import { runtime } from "../../src/runtime/bun.ts";
import type { Runtime, SocketEvents, TcpSocket } from "../../src/runtime/types.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { lasting } from "../harness/terms.ts";
import { patienceMs, sleep } from "../harness/wait.ts";

export const host = "127.0.0.1";

/** Like waitFor, in the short steps of what happens within one process. */
export async function until<T>(what: string, ask: () => T | undefined | false, timeoutMs = patienceMs): Promise<T> {
  for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(1)) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
  }
  throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`);
}

/** What a friend of the gate sends first. */
export function friendly(payload = "hello"): Uint8Array {
  return seal(new TextEncoder().encode(payload), "bare");
}

/** What a stranger sends first. */
export const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

export function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) + seed) & 0xff);
}

/** One end of a connection, and all that it saw. */
export class Peer {
  readonly socket: Socket;
  readonly #hasher = new Bun.CryptoHasher("sha1");
  /** The first bytes, for looking at. */
  head: Buffer = Buffer.alloc(0);
  received = 0;
  ended = false;
  closed = false;
  errorCode: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay();
    socket.on("data", (bytes: Buffer) => {
      this.received += bytes.length;
      this.#hasher.update(bytes);
      if (this.head.length < 4096) this.head = Buffer.concat([this.head, bytes]);
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: Error & { code?: string }) => {
      this.errorCode = error.code ?? error.message;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  /** EPIPE: the same after the other side's FIN (tcp_reset in the kernel). */
  get wasReset(): boolean {
    return this.errorCode === "ECONNRESET" || (this.ended && this.errorCode === "EPIPE");
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  got(count: number): Promise<unknown> {
    return until(`${count} bytes, ${this.received} came`, () => this.received >= count);
  }

  /** Of everything that came so far. */
  digest(): string {
    return this.#hasher.copy().digest("hex");
  }
}

export function digestOf(...parts: readonly Uint8Array[]): string {
  const hasher = new Bun.CryptoHasher("sha1");
  for (const part of parts) hasher.update(part);
  return hasher.digest("hex");
}

/** A server that does what the test says to each connection. */
export class Server implements AsyncDisposable {
  readonly peers: Peer[] = [];
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new Peer(socket);
    this.peers.push(peer);
    this.#onPeer(peer);
  });
  readonly #onPeer: (peer: Peer) => void;

  private constructor(onPeer: (peer: Peer) => void) {
    this.#onPeer = onPeer;
  }

  static async open(onPeer: (peer: Peer) => void = () => {}, port = 0): Promise<Server> {
    const server = new Server(onPeer);
    await new Promise<void>((resolve, reject) => server.#server.once("error", reject).listen(port, host, resolve));
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** The connection that was accepted as the nth. */
  peer(index = 0): Promise<Peer> {
    return until(`connection ${index} at the server`, () => this.peers[index]);
  }

  get open(): number {
    return this.peers.filter(({ closed }) => !closed).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.peers) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

export interface BedOptions {
  readonly upstreams: readonly ServerAddress[];
  /** Over the defaults, with --check off. */
  readonly config?: Partial<Options>;
  readonly maxConnections?: number;
  readonly maxPerSource?: number;
  readonly dryRun?: boolean;
  readonly firstPacketMs?: number;
  readonly listenHost?: string;
  /** Stands before the real connect: for what happens while a connection is being made. */
  readonly dial?: (real: Runtime["dial"]) => Runtime["dial"];
  /** Heard when a ban begins, before anything is done. */
  readonly onBan?: () => void;
  /** Heard when a ban stands, before its connection is reset. */
  readonly onLog?: () => void;
  /** Instead of the TapeTrack profile's. */
  readonly sniffer?: Sniffer;
  /** What becomes of first packets beyond their verdict; strikes are not counted without it. */
  readonly observer?: Partial<StrikeLimits> & { readonly recorder?: Recorder };
  readonly fence?: Fence;
  readonly terms?: Terms;
  readonly spareFriends?: number;
  readonly maxRate?: Rate;
}

/** @returns undefined when no upstream answers. */
export function opened(upstreams: Upstreams, events: SocketEvents): Promise<TcpSocket | undefined> {
  return new Promise((resolve) => {
    upstreams.open(events, 0, { opened: resolve, unreachable: () => resolve(undefined) });
  });
}

/** A gate as the daemon makes it, before a desk of its own without a kernel. */
export class Bed implements AsyncDisposable {
  readonly gate: Gate;
  readonly daemonBans: DaemonBans;
  readonly changes: UpstreamStatus[] = [];
  readonly log: string[] = [];
  /** The gate's own lines; those about bans are in `log`. */
  readonly gateLog: string[] = [];
  readonly #clients: Peer[] = [];
  #skewMs = 0;

  private constructor(options: BedOptions) {
    const nowMs = () => this.nowMs();
    const dryRun = options.dryRun ?? false;
    this.daemonBans = new DaemonBans({
      ...{ dryRun, nowMs, maxBans: 10_000, ipv6Bits: 64, neverBan: [], fence: options.fence },
      events: new Events(16, 0),
      terms: () => options.terms ?? lasting(60_000),
      hasFriends: (client) => this.gate.sessions.hasFriend(client.sourceText),
      refusalOf: () => ({ by: "kernel", why: null }),
      mayAcceptProxy: () => true,
      log: (_level, message) => {
        this.log.push(message);
        options.onLog?.();
      },
    });
    const { observer } = options;
    const sniffer = options.sniffer ?? loadSniffer("tapetrack");
    const desk = this.daemonBans.deskOf({
      ...{ gate: "bed", isLocal: () => false },
      terms: () => options.terms ?? lasting(60_000),
      spareFriends: () => options.spareFriends ?? 0,
    });
    this.gate = new Gate({
      name: "bed",
      dryRun,
      config: {
        ...configSchema.parse({ check: "off" }),
        listen: { host: options.listenHost ?? host, port: 0 },
        upstream: [...options.upstreams],
        "dry-run": dryRun,
        "first-packet": options.firstPacketMs ?? 10_000,
        "max-connections": options.maxConnections ?? 100_000,
        "max-per-source": options.maxPerSource ?? 0,
        "max-rate": options.maxRate,
        "excess-strikes": observer?.excess ?? 0,
        judge: observer?.refused === undefined ? "none" : "upstream",
        strikes: observer?.refused ?? 5,
        ...options.config,
      },
      sniffer: { ...sniffer, undecidedLimit: observer?.undecided },
      runtime: { ...runtime, dial: options.dial?.(runtime.dial) ?? runtime.dial },
      desk: {
        refuses: (client) => desk.refuses(client),
        wouldRefuse: (client) => desk.wouldRefuse(client),
        isFenced: (client) => desk.isFenced(client),
        ban: (client, offence) => {
          options.onBan?.();
          return desk.ban(client, offence);
        },
      },
      recorder: observer?.recorder,
      log: (_level, message) => this.gateLog.push(message),
      nowMs,
      upstreamChanged: (status) => this.changes.push(status),
    });
    this.daemonBans.enforcement.follow(dryRun ? this.gate.wouldBans : this.gate);
  }

  static async open(options: BedOptions): Promise<Bed> {
    const bed = new Bed(options);
    await bed.gate.listenSocket.listen();
    return bed;
  }

  get counters(): ConnectionCounters & BanCounters {
    return { ...this.gate.counters, ...this.daemonBans.counters };
  }

  get sessions(): Sessions {
    return this.gate.sessions;
  }

  get upstreams(): Upstreams {
    return this.gate.upstreams;
  }

  get bans(): Bans {
    return this.daemonBans.enforcement.bans;
  }

  get port(): number {
    return this.gate.port ?? 0;
  }

  nowMs(): number {
    return performance.now() + this.#skewMs;
  }

  /** Time goes by, and the process has no turn. */
  standStill(ms: number): void {
    this.#skewMs += ms;
  }

  /** Lets time go by and the deadlines come. @param lateMs for so long of it the process had no turn. */
  pass(ms: number, lateMs = 0): void {
    this.#skewMs += ms;
    this.gate.tick(this.nowMs(), lateMs);
    void this.gate.settle();
  }

  /** A connection from an address of the loopback network. */
  async client(from = "127.0.0.1", to = host): Promise<Peer> {
    const peer = new Peer(connect({ host: to, port: this.port, localAddress: from, allowHalfOpen: true }));
    this.#clients.push(peer);
    await until("a connection", () => peer.socket.readyState === "open" || peer.errorCode !== undefined);
    return peer;
  }

  /** A connection that the gate has taken up. */
  async accepted(from?: string, to?: string): Promise<Peer> {
    const before = this.counters.accepted;
    const peer = await this.client(from, to);
    await until("the gate to accept", () => this.counters.accepted > before);
    return peer;
  }

  idle(): Promise<unknown> {
    return until(`the end of ${this.sessions.size} sessions`, () => this.sessions.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#clients) socket.destroy();
    this.sessions.cutAll();
    this.gate.close();
    await until("the end of all sessions", () => this.sessions.size === 0);
  }
}

/**
 * Writes so many times as long as the kernel takes it, as a well-behaved program does.
 * @returns how often it has written so far.
 */
export function pour(into: Peer, chunk: Uint8Array, times: number): { written: number } {
  const poured = { written: 0 };
  const more = () => {
    while (poured.written < times) {
      poured.written++;
      if (!into.socket.write(chunk)) return;
    }
  };
  into.socket.on("drain", more);
  more();
  return poured;
}

/** Waits until nothing goes on. */
export async function standstill(poured: { readonly written: number }): Promise<void> {
  for (let last = -1; poured.written !== last; await sleep(150)) last = poured.written;
}

/**
 * What a reader that stopped leaves on its way: two kernel buffers of up to 6 MB (tcp_rmem, tcp_wmem) for
 * each of two connections, and what both ends hold.
 */
export const underWayBytes = 40_000_000;

/** TCP and other sockets that this process has open. */
export function openSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

/** Whether somebody still waits for the answer to a SYN to a port of loopback. */
export function isUnanswered(port: number): boolean {
  const to = port.toString(16).toUpperCase().padStart(4, "0");
  return new RegExp(` 0100007F:${to} 02 `).test(readFileSync("/proc/net/tcp", "utf8"));
}

/** The state of a local port's connection as the kernel has it now, `01`: established, `0A`: listening. */
export function kernelState(localPort: number, remotePort: number): string | undefined {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
  const row = new RegExp(`: [0-9A-F]{8}:${hex(localPort)} [0-9A-F]{8}:${hex(remotePort)} ([0-9A-F]{2}) `);
  return row.exec(readFileSync("/proc/net/tcp", "utf8"))?.[1];
}
