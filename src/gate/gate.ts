// SPDX-License-Identifier: Apache-2.0
// One gate: what exists once for each port that is guarded. Accepts connections, has them judged, relays or
// ends them. Whom to refuse and what a ban means is the desk's to decide; in inline mode the kernel judges
// and the gate only watches its server.
import type { Config } from "../config/options.ts";
import { serversOf } from "../config/servers.ts";
import { formatEndpoint, type Prefix } from "../core/address.ts";
import type { BanChange, BanFollower } from "../core/bans/enforcement.ts";
import type { Client } from "../core/client.ts";
import { type ConnectionCounters, newConnectionCounters } from "../core/counters.ts";
import type { Sniffer } from "../core/sniff.ts";
import { handshakes } from "../kernel/handshake.ts";
import type { Log } from "../log.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { Listener, Runtime, TcpSocket } from "../runtime/types.ts";
import type { Desk } from "../sources/desk.ts";
import { type AcceptorContext, acceptor } from "./acceptor.ts";
import { openListener } from "./listener.ts";
import { Observer, type StrikeLimits } from "./observer.ts";
import { Rejection } from "./rejection.ts";
import { Room } from "./room.ts";
import type { SessionObserver } from "./session_observer.ts";
import { Sessions } from "./sessions.ts";
import type { TrialWatch } from "./trial_watch.ts";
import { type UpstreamStatus, Upstreams } from "./upstreams.ts";

/** The options that belong to one gate. */
export type GateConfig = Pick<
  Config,
  | "listen"
  | "upstream"
  | "mode"
  | "timeout"
  | "reject"
  | "first-packet"
  | "greeting-pause"
  | "max-connections"
  | "max-per-source"
  | "ipv6-prefix"
  | "judge"
  | "strikes"
>;

export interface GateParts {
  readonly config: GateConfig;
  readonly sniffer: Sniffer;
  readonly runtime: Runtime;
  readonly desk: Desk;
  readonly log: Log;
  readonly recorder?: Recorder | undefined;
  /** Nobody is turned away: a dry run, or a trial. */
  readonly dryRun?: boolean;
  readonly trial?: TrialWatch | undefined;
  /** In place of the gate's own, which records and counts strikes. */
  readonly observer?: SessionObserver;
  readonly nowMs: () => number;
  /** A connection of a banned source was accepted, and is refused. */
  refused?(client: Client): void;
  /** An upstream came or went. */
  upstreamChanged?(status: UpstreamStatus): void;
}

/** An upstream that is down costs a connect this often, one that is up none. */
const upstreamRetryMs = 5000;

export class Gate implements BanFollower {
  readonly counters: ConnectionCounters = newConnectionCounters();
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  readonly room: Room;
  readonly #parts: GateParts;
  readonly #context: { -readonly [K in keyof AcceptorContext]: AcceptorContext[K] };
  readonly #rejection: Rejection;
  readonly #observer: Observer | undefined;
  #config: GateConfig;
  /** No interface has the listen address. */
  isWaiting = false;
  #listener: Listener | undefined;

  constructor(parts: GateParts) {
    const { config, sniffer, runtime, desk, log, nowMs } = parts;
    this.#parts = parts;
    this.#config = config;
    this.sessions = new Sessions(config["ipv6-prefix"]);
    this.room = new Room(log);
    this.room.resize(runtime.name, config["max-connections"]);
    this.upstreams = new Upstreams(serversOf(config), runtime.connect, (status) => this.#upstreamChanged(status));
    this.#rejection = new Rejection(this.counters, log, (client) => desk.isFenced(client));
    const own =
      parts.observer === undefined
        ? new Observer({
            recorder: parts.recorder,
            trial: parts.trial,
            limits: strikeLimits(config, sniffer),
            gatePort: () => this.port ?? config.listen.port,
            nowMs,
            ban: (client, offence) => {
              if (desk.ban(client, offence) === "spared") this.counters.spared++;
            },
          })
        : undefined;
    this.#observer = own;
    this.#context = {
      ...limitsOf(config),
      room: this.room,
      sniffer,
      desk,
      nowMs,
      dryRun: parts.dryRun === true,
      trial: parts.trial,
      ipv6Bits: config["ipv6-prefix"],
      counters: this.counters,
      sessions: this.sessions,
      upstreams: this.upstreams,
      observer: own ?? parts.observer,
      refused: (client: Client) => parts.refused?.(client),
      isProven: handshakes(runtime.native),
      reject: (socket: TcpSocket, client: Client) => this.#rejection.end(socket, client),
    };
  }

  /** What judges now. */
  get sniffer(): Sniffer {
    return this.#context.sniffer;
  }

  /** A client that another judge saw fall silent, undecided. */
  fellSilent(client: Client, bytes: Uint8Array): void {
    this.#context.observer?.turnedAway(client, bytes, bytes.length, true);
  }

  get config(): GateConfig {
    return this.#config;
  }

  /** The port that it listens on; undefined when it does not. */
  get port(): number | undefined {
    return this.#listener?.local.port;
  }

  /**
   * Listens, or waits for an address that no interface has yet: then it is to be called again.
   * @throws Failure when the port cannot be had.
   */
  async listen(): Promise<void> {
    if (this.#listener !== undefined) return;
    const { runtime, log } = this.#parts;
    const { host, port } = this.#config.listen;
    const address = formatEndpoint({ address: host, port });
    const opened = await openListener(runtime, { host, port }, acceptor(this.#context));
    if (opened.kind === "waiting") {
      if (!this.isWaiting) log("warn", `Cannot listen on ${address}: no interface has this address; waiting for it`);
      this.isWaiting = true;
      return;
    }
    if (opened.host !== host)
      log("warn", `This kernel has no IPv6: listening on ${opened.host}:${port} instead of ${address}`);
    if (this.isWaiting) log("info", `Listening on ${address} now`);
    this.isWaiting = false;
    this.#listener = opened.listener;
    this.room.announce(this.#config["max-connections"]);
  }

  /** From now on connections of banned sources end without a packet. */
  async beSilent(): Promise<void> {
    await this.#rejection.beSilent(this.#parts.runtime);
  }

  /** The trial is over: from one connection to the next clients are turned away. */
  enforce(): void {
    this.#context.dryRun = false;
    this.#context.trial = undefined;
    this.#observer?.endTrial();
  }

  /** Goes on with other options, from one connection to the next. Those that take a restart are not looked at. */
  reconfigure(config: GateConfig, sniffer: Sniffer): void {
    this.#config = config;
    this.room.resize(this.#parts.runtime.name, config["max-connections"]);
    Object.assign(this.#context, limitsOf(config), { sniffer });
    this.upstreams.replace(serversOf(config));
    this.#observer?.limit(strikeLimits(config, sniffer));
  }

  /** A banned source's connections are cut; in a dry run those that would be are counted. */
  bansChanged(changes: readonly BanChange[]): void {
    if (this.sessions.size === 0) return;
    const bans = changes.filter((change) => change.kind === "ban");
    // Of a single ban the source is looked up; many are quicker found by one look at all connections.
    if (bans.length > fewBans) this.#cutBanned();
    else for (const { ban, claim } of bans) this.#cut(ban.prefix, claim.evidence === undefined ? 0 : 1);
  }

  /** Twice a second: deadlines, and what is known by now of the servers' answers. */
  tick(nowMs: number): void {
    this.sessions.expire(nowMs);
    this.room.tick(nowMs);
    this.#observer?.tick();
  }

  /** Looks again for upstreams that are down. */
  async retryUpstreams(nowMs: number): Promise<void> {
    await this.upstreams.retry(nowMs, upstreamRetryMs);
  }

  /** Stops accepting; connections that are open go on. Idempotent. */
  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** @param judged connections of the source that a dry run counted otherwise: the one that showed the evidence. */
  #cut(prefix: Prefix, judged: number): void {
    const { sessions, counters } = this;
    counters.cut += this.#context.dryRun ? Math.max(0, sessions.count(prefix) - judged) : sessions.cut(prefix);
  }

  #cutBanned(): void {
    const { dryRun, desk } = this.#context;
    if (dryRun) return;
    this.counters.cut += this.sessions.cutWhere((client) => desk.refuses(client));
  }

  #upstreamChanged(status: UpstreamStatus): void {
    const { log } = this.#parts;
    const { address, reachable, error } = status;
    const isInline = this.#config.mode === "inline";
    if (reachable === true) log("info", `${isInline ? "Server" : "Upstream"} ${address} is reachable`);
    else log("warn", unreachable(address, error, isInline));
    this.#observer?.upstreamChanged(reachable === true);
    this.#parts.upstreamChanged?.(status);
  }
}

/** A look-up of one source is quicker than a look at all connections up to about so many. */
const fewBans = 32;

function limitsOf(
  config: GateConfig,
): Pick<AcceptorContext, "firstPacketMs" | "greetingPauseMs" | "maxConnectionsPerSource"> {
  return {
    firstPacketMs: config["first-packet"],
    greetingPauseMs: config["greeting-pause"],
    maxConnectionsPerSource: config["max-per-source"],
  };
}

function strikeLimits(config: GateConfig, { undecidedLimit }: Sniffer): StrikeLimits {
  return { refused: config.judge === "upstream" ? config.strikes : undefined, undecided: undecidedLimit };
}

function unreachable(address: string, error: string | undefined, isInline: boolean): string {
  if (!isInline) return `Upstream ${address} is not reachable: ${error}; clients are reset until it is`;
  const remedy = "start it, or say with --listen where it listens; in another network namespace it needs --mode proxy";
  return `Nothing answers on ${address} in this network namespace: ${error}; ${remedy}`;
}
