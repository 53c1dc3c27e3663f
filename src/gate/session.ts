// SPDX-License-Identifier: Apache-2.0
// The life of one connection, from accept until it is relayed or ends: hold the first bytes, sniff, settle. Every
// way out of sniffing goes through settle().
import { type Evidence, evidenceBytes } from "../core/bans/claim.ts";
import type { Chain } from "../core/chain.ts";
import type { Client } from "../core/client.ts";
import { concatenated } from "../core/concatenated.ts";
import { recordedBytes } from "../core/learn/recording.ts";
import { type ProxyVersion, proxyHeader } from "../core/proxy_protocol/written.ts";
import type { Sniffer } from "../core/sniff.ts";
import { type Verdict, verdict } from "../core/verdict.ts";
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";
import type { Desk, Offence } from "../sources/desk.ts";
import { followConversation } from "./conversation.ts";
import type { OpeningOwner } from "./opening.ts";
import { Relayed, type RelayedContext } from "./relayed.ts";
import type { SessionObserver } from "./session_observer.ts";
import { type LiveSession, type NewSession, Place, type SourceSessions } from "./sessions.ts";
import type { Tap } from "./tap.ts";
import type { TrialWatch } from "./trial_watch.ts";
import type { Upstream } from "./upstream.ts";

/** What a session needs of the gate. */
export interface SessionContext extends RelayedContext {
  readonly sniffer: Sniffer;
  readonly dryRun: boolean;
  readonly firstPacketMs: number;
  /** How long a client may be silent before a server that speaks first is asked to. */
  readonly greetingPauseMs: number;
  /** How the server is told of the client's address. */
  readonly sendProxy: ProxyVersion | "off";
  readonly desk: Desk;
  nowMs(): number;
  /** Whether the client has shown that its address is its own. */
  isProven(socket: TcpSocket): boolean;
  /** Watches while nobody is turned away yet. */
  readonly trial: TrialWatch | undefined;
  /** Where first bytes are recorded or judged further. */
  readonly observer: SessionObserver | undefined;
}

/** Bytes kept for a server that is still being connected to; then the client waits in its own kernel. */
const heldLimitBytes = 256 * 1024;

/** What a session holds once it is judged. */
const none: Uint8Array[] = [];

export class Session implements SocketEvents, NewSession, OpeningOwner {
  readonly place: Place = new Place(this);
  chain: Chain<LiveSession> | undefined;
  previous: LiveSession | undefined;
  next: LiveSession | undefined;
  source: SourceSessions | undefined;
  readonly client: Client;
  readonly #context: SessionContext;
  readonly clientSocket: TcpSocket;
  readonly #deadlineMs: number;
  readonly #wouldBeRefused: boolean;
  isFriend = false;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #clientEnded = false;
  /** Somebody else may have sent the bytes in its name: they count against nobody. */
  #isForgeable = false;
  #state: "sniffing" | "connecting" | "over" = "sniffing";
  /** From the moment that a server is connected to. */
  #relay: Relayed | undefined;
  /** It was connected to before the client is judged, since it speaks first. */
  #isGreeted = false;
  /** What was connected to; `server` until it is relayed to. */
  #upstream: Upstream | undefined;
  #server: TcpSocket | undefined;
  #tap: Tap | undefined;
  #greetingTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param wouldBeRefused a dry run or a trial lets the source in: that is counted already.
   * @param sinceMs when the connection was accepted.
   */
  constructor(context: SessionContext, socket: TcpSocket, client: Client, wouldBeRefused: boolean, sinceMs: number) {
    this.client = client;
    this.#wouldBeRefused = wouldBeRefused;
    this.#context = context;
    this.clientSocket = socket;
    this.#deadlineMs = sinceMs + context.firstPacketMs;
    context.sessions.add(this, this.#deadlineMs);
    // A scanner that speaks at once costs the server no connection.
    if (context.sniffer.speaksFirst === "server") {
      this.#greetingTimer = setTimeout(() => this.#greet(), context.greetingPauseMs);
    }
  }

  data(bytes: Uint8Array): void {
    if (this.#state === "over") return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#state === "sniffing") this.#settle(this.#judge(false));
    else if (this.#heldBytes > heldLimitBytes) this.clientSocket.pause();
  }

  drain(): void {
    this.#relay?.clientDrained();
  }

  end(): void {
    this.#clientEnded = true;
    if (this.#state === "sniffing") this.#settle(this.#judge(true));
  }

  /**
   * The time for a first packet is over, or somebody else needs the place.
   * @param isExcused it may be this process that was too slow.
   */
  deadline(isExcused = false): void {
    if (this.#state !== "sniffing") return;
    const makesRoom = !this.#clientEnded && this.#context.nowMs() < this.#deadlineMs;
    this.#settle(this.#judge(true), makesRoom || isExcused);
  }

  /** The client is gone before it was relayed. */
  close(): void {
    if (this.#state === "sniffing") this.#turnedAway(false);
    if (this.#state === "sniffing" && !this.#wouldBeRefused) this.#context.counters.undecided++;
    if (this.#state !== "over") this.#finish();
  }

  /** Ends the connection: its source was banned, or the gate stops. */
  cut(): void {
    if (this.#state === "over") return;
    if (this.#state === "sniffing") this.#context.sessions.decided(this, this.#deadlineMs);
    this.#finish();
    this.#context.reject(this.clientSocket, this.client);
  }

  /** It is not relayed yet. */
  endIfIdle(): void {}

  settled(): void {}

  #judge(ended: boolean): Verdict {
    const { sniffer, dryRun } = this.#context;
    return verdict(sniffer.sniff(this.#firstBytes(sniffer.prefixBytes), ended), { ended, dryRun });
  }

  /**
   * The only way out of sniffing.
   * @param isExcused it was not silent for as long as it may be: that is no strike.
   */
  #settle(decision: Verdict, isExcused = false): void {
    if (decision.kind !== "relay") this.#isForgeable = !this.#context.isProven(this.clientSocket);
    const { counters, sessions, desk } = this.#context;
    if (decision.kind === "hold") {
      sessions.spoke(this);
      return;
    }
    sessions.decided(this, this.#deadlineMs);
    switch (decision.kind) {
      case "relay":
        if (!this.#wouldBeRefused) this.#countWould(decision);
        this.#state = "connecting";
        this.isFriend = decision.would === undefined && !this.#wouldBeRefused;
        this.#connect(decision.would === undefined);
        return;
      case "ban":
        counters.foreign++;
        this.#turnedAway(false);
        if (this.#isForgeable) {
          this.#finish();
          this.clientSocket.reset();
          return;
        }
        // The ban first, the end second: when the source hears of it, its next packet is dropped already.
        if (desk.ban(this.client, this.#endedFor(decision.protocol)) === "spared") counters.spared++;
        this.#context.reject(this.clientSocket, this.client);
        return;
      case "close":
        counters.undecided++;
        this.#turnedAway(decision.isStrike === true && !isExcused);
        this.#finish();
        this.clientSocket.close();
        return;
      default:
        decision satisfies never;
    }
  }

  /** What would have become of it but for the dry run. */
  #countWould({ would }: Extract<Verdict, { kind: "relay" }>): void {
    const { counters, desk } = this.#context;
    switch (would?.kind) {
      case undefined:
        return;
      case "ban":
        counters.foreign++;
        desk.ban(this.client, { origin: "sniffer", reason: would.protocol, evidence: this.#evidence() });
        return;
      case "close":
        counters.undecided++;
        this.#context.trial?.wouldClose(this.client.sourceText);
        return;
      default:
        would satisfies never;
    }
  }

  #turnedAway(isStrike: boolean): void {
    if (this.#heldBytes === 0 || this.#isForgeable) return;
    this.#context.observer?.turnedAway(this.client, this.#firstBytes(recordedBytes), this.#heldBytes, isStrike);
  }

  /** The offence of a client that spoke another protocol; its session is over. */
  #endedFor(protocol: string): Offence {
    const evidence = this.#evidence();
    this.#finish();
    return { origin: "sniffer", reason: protocol, evidence };
  }

  /** The client waits for the server to speak. */
  #greet(): void {
    if (this.#state !== "sniffing" || this.#heldBytes > 0) return;
    this.#isGreeted = true;
    this.#relay = new Relayed(this.client, this.#context, this.clientSocket);
    this.#context.upstreams.open(this.#relay, this.#context.nowMs(), this);
  }

  #connect(speaksExpected: boolean): void {
    this.#tap = this.#context.observer?.relays(this.client, this.isFriend, speaksExpected);
    if (this.#isGreeted) {
      this.#startRelay();
      return;
    }
    const relay = new Relayed(this.client, this.#context, this.clientSocket);
    this.#relay = relay;
    this.#context.upstreams.open(this.#tap?.serverEvents(relay) ?? relay, this.#context.nowMs(), this);
  }

  opened(server: TcpSocket, upstream: Upstream): void {
    this.#server = server;
    this.#upstream = upstream;
    if (this.#state === "over") {
      this.#dismiss();
      return;
    }
    if (this.#isGreeted) {
      const header = this.#header();
      if (header !== undefined) server.write(header);
      this.#relay?.greet(server);
    }
    if (this.#state === "connecting") this.#startRelay();
  }

  unreachable(): void {
    if (this.#state === "over") return;
    this.#context.counters.upstreamFailed++;
    this.#finish();
    this.clientSocket.reset();
  }

  /** The client is judged, and the server is there unless it is connected to still. */
  #startRelay(): void {
    const server = this.#server;
    const upstream = this.#upstream;
    const relay = this.#relay;
    if (server === undefined || upstream === undefined || relay === undefined) return;
    const tap = this.#tap;
    relay.isFriend = this.isFriend;
    relay.upstream = upstream;
    this.#context.counters.relayed++;
    if (this.#heldBytes > heldLimitBytes) this.clientSocket.resume();
    if (this.#isGreeted) tap?.startGreeted(server, this.#held, this.#clientEnded);
    else tap?.start(server, this.#held, this.#clientEnded);
    const held = this.#isGreeted ? this.#held : this.#introduced();
    // Before the start, which may be the end as well.
    this.#context.sessions.relayed(relay, this);
    relay.start(this.clientSocket, server, held, this.#clientEnded);
    tap?.join(this.clientSocket);
    this.#followTrial(server);
  }

  #followTrial(server: TcpSocket): void {
    const { trial, nowMs } = this.#context;
    if (trial === undefined) return;
    followConversation(this.clientSocket, server, nowMs, () => trial.isGood(this.client.sourceText));
  }

  /** What is held, behind the header that tells the server who its client is: in one write with the first bytes. */
  #introduced(): readonly Uint8Array[] {
    const header = this.#header();
    if (header === undefined) return this.#held;
    const [first, ...others] = this.#held;
    return first === undefined ? [header] : [concatenated(header, first), ...others];
  }

  #header(): Uint8Array | undefined {
    const { sendProxy } = this.#context;
    if (sendProxy === "off") return undefined;
    const { client } = this;
    const source = { address: client.single().text, port: client.port };
    return proxyHeader(sendProxy, source, client.through?.destination ?? this.clientSocket.local);
  }

  #finish(): void {
    this.#state = "over";
    clearTimeout(this.#greetingTimer);
    // Afterwards: how the client's connection ends is its owner's to say, and not the relay's.
    if (this.#server !== undefined) queueMicrotask(() => this.#dismiss());
    this.#held = none;
    this.#context.sessions.decided(this, this.#deadlineMs);
    this.#context.sessions.remove(this);
  }

  /** The client is gone or was turned away after the server was connected to. */
  #dismiss(): void {
    if (this.#upstream !== undefined) this.#context.upstreams.release(this.#upstream);
    this.#server?.reset();
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
    const { sniffer } = this.#context;
    return {
      firstBytes: Uint8Array.from(this.#firstBytes(evidenceBytes)),
      clientAddress: this.client.single().text,
      clientPort: this.client.port,
      gatePort: this.clientSocket.local.port,
      bet: sniffer.evidence?.(this.#firstBytes(sniffer.prefixBytes)),
    };
  }
}
