// SPDX-License-Identifier: Apache-2.0
// The life of one connection, from accept to its end: hold the first bytes, sniff, settle, relay. Every
// way out of sniffing goes through settle().
import type { Evidence } from "../core/bans.ts";
import { evidenceBytes } from "../core/bans.ts";
import type { Client } from "../core/client.ts";
import type { Counters } from "../core/counters.ts";
import type { Sniffer } from "../core/sniff.ts";
import { type Verdict, verdict } from "../core/verdict.ts";
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";
import { Relay, type RelayOwner } from "./relay.ts";
import type { LiveSession, Sessions } from "./sessions.ts";
import type { Upstream, Upstreams } from "./upstreams.ts";

/** What a session needs of the gate. */
export interface SessionContext {
  readonly sniffer: Sniffer;
  readonly dryRun: boolean;
  readonly firstPacketMs: number;
  readonly counters: Counters;
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  nowMs(): number;
  /** Ends the connection of a source that is or was to be banned. */
  reject(socket: TcpSocket, client: Client): void;
  /** Table and kernel; when it returns, the source is blocked or the reason why not was logged. */
  ban(client: Client, protocol: string, evidence: Evidence): void;
  /** A dry run met what it would have banned. */
  wouldBan(client: Client, protocol: string, evidence: Evidence): void;
}

/** Bytes kept for a server that is still being connected to; then the client waits in its own kernel. */
const heldLimitBytes = 256 * 1024;

/** What a session holds once it is judged. */
const none: Uint8Array[] = [];

export class Session implements SocketEvents, LiveSession, RelayOwner {
  readonly client: Client;
  readonly #context: SessionContext;
  readonly #socket: TcpSocket;
  readonly #deadlineMs: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #clientEnded = false;
  #state: "sniffing" | "connecting" | "relaying" | "over" = "sniffing";
  #relay: Relay | undefined;
  #upstream: Upstream | undefined;

  constructor(context: SessionContext, socket: TcpSocket, client: Client) {
    this.client = client;
    this.#context = context;
    this.#socket = socket;
    this.#deadlineMs = context.nowMs() + context.firstPacketMs;
    context.sessions.add(this, this.#deadlineMs);
  }

  data(bytes: Uint8Array): void {
    if (this.#state === "over") return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#state === "sniffing") this.#judge(false);
    else if (this.#heldBytes > heldLimitBytes) this.#socket.pause();
  }

  drain(): void {}

  end(): void {
    this.#clientEnded = true;
    if (this.#state === "sniffing") this.#judge(true);
  }

  /** The time for a first packet is over. */
  deadline(): void {
    if (this.#state === "sniffing") this.#judge(true);
  }

  /** The client is gone before it was relayed. */
  close(): void {
    if (this.#state === "sniffing") this.#context.counters.undecided++;
    if (this.#state !== "over") this.#finish();
  }

  /** Ends the connection, both legs: its source was banned, or the gate stops. */
  cut(): void {
    if (this.#state === "over") return;
    if (this.#state === "sniffing") this.#context.sessions.decided(this, this.#deadlineMs);
    const relay = this.#relay;
    this.#finish();
    this.#context.reject(this.#socket, this.client);
    relay?.cut();
  }

  #judge(ended: boolean): void {
    const { sniffer, dryRun } = this.#context;
    const decision = verdict(sniffer.sniff(this.#firstBytes(sniffer.prefixBytes), ended), { ended, dryRun });
    if (decision.kind !== "hold") this.#settle(decision);
  }

  /** The only way out of sniffing. */
  #settle(decision: Exclude<Verdict, { kind: "hold" }>): void {
    const { counters, sessions } = this.#context;
    sessions.decided(this, this.#deadlineMs);
    switch (decision.kind) {
      case "relay":
        if (decision.wouldBan !== undefined) {
          counters.foreign++;
          this.#context.wouldBan(this.client, decision.wouldBan, this.#evidence());
        }
        this.#state = "connecting";
        void this.#connect();
        return;
      case "ban":
        counters.foreign++;
        this.#ban(decision.protocol);
        return;
      case "close":
        counters.undecided++;
        this.#finish();
        this.#socket.close();
        return;
      default:
        decision satisfies never;
    }
  }

  /** The ban first, the end second: when the source hears of it, its next packet is dropped already. */
  #ban(protocol: string): void {
    const evidence = this.#evidence();
    this.#finish();
    this.#context.ban(this.client, protocol, evidence);
    this.#context.reject(this.#socket, this.client);
  }

  async #connect(): Promise<void> {
    const { counters, upstreams } = this.#context;
    const relay = new Relay(this.#socket, this);
    const opened = await upstreams.open(relay.serverEvents, this.#context.nowMs());
    if (opened === undefined) {
      if (this.#state === "over") return;
      counters.upstreamFailed++;
      this.#finish();
      this.#socket.reset();
      return;
    }
    if (this.#state === "over") {
      upstreams.release(opened.upstream);
      opened.socket.reset();
      return;
    }
    this.#upstream = opened.upstream;
    counters.relayed++;
    this.#state = "relaying";
    this.#relay = relay;
    if (this.#heldBytes > heldLimitBytes) this.#socket.resume();
    relay.start(this.#socket, opened.socket, this.#held, this.#clientEnded);
    this.#held = none;
  }

  relayEnded(): void {
    if (this.#upstream !== undefined) this.#context.upstreams.release(this.#upstream);
    this.#context.sessions.remove(this);
  }

  #finish(): void {
    this.#state = "over";
    this.#held = none;
    this.#context.sessions.decided(this, this.#deadlineMs);
    this.#context.sessions.remove(this);
  }

  #firstBytes(limit: number): Uint8Array {
    const [first, second] = this.#held;
    if (first === undefined) return new Uint8Array(0);
    if (second === undefined) return first.length > limit ? first.subarray(0, limit) : first;
    const joined = new Uint8Array(Math.min(this.#heldBytes, limit));
    let filled = 0;
    for (const bytes of this.#held) {
      joined.set(bytes.subarray(0, joined.length - filled), filled);
      filled += Math.min(bytes.length, joined.length - filled);
    }
    return joined;
  }

  #evidence(): Evidence {
    return {
      firstBytes: Uint8Array.from(this.#firstBytes(evidenceBytes)),
      clientAddress: this.client.single().text,
      clientPort: this.client.port,
      gatePort: this.#socket.local.port,
    };
  }
}
