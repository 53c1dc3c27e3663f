// SPDX-License-Identifier: Apache-2.0
// One gate: what exists once for each port that is guarded. Accepts connections, has them judged, relays or
// ends them. Whom to refuse and what a ban means is the desk's to decide; in inline mode the kernel judges
// and the gate only watches its server.
import type { Options } from "../config/options.ts";
import { checkEvery, serversOf } from "../config/servers.ts";
import type { BanChange, BanFollower } from "../core/bans/change.ts";
import type { Claim } from "../core/bans/claim.ts";
import type { Client } from "../core/client.ts";
import { type ConnectionCounters, newConnectionCounters } from "../core/counters.ts";
import { Repeats } from "../core/repeats.ts";
import type { Sniffer } from "../core/sniff.ts";
import { Names } from "../host/names.ts";
import { handshakes } from "../kernel/handshake.ts";
import { quietMs, tcpInfo } from "../kernel/tcp_info.ts";
import type { Log } from "../log.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { Runtime, TcpSocket } from "../runtime/types.ts";
import type { Desk } from "../sources/desk.ts";
import { inTurns } from "../sources/turns.ts";
import { type AcceptorContext, acceptor } from "./acceptor.ts";
import { ConnectionRate } from "./connection_rate.ts";
import { IdleSweep } from "./idle_sweep.ts";
import { ListenSocket } from "./listen_socket.ts";
import { Observer, type StrikeLimits } from "./observer.ts";
import { OwnPort } from "./own_port.ts";
import { Rejection } from "./rejection.ts";
import { Room } from "./room.ts";
import type { SessionObserver } from "./session_observer.ts";
import { Sessions } from "./sessions.ts";
import type { TrialWatch } from "./trial_watch.ts";
import type { UpstreamStatus } from "./upstream.ts";
import { type Rings, type UpstreamPolicy, Upstreams } from "./upstreams.ts";

/** The options that belong to one gate. */
export type GateConfig = Pick<
  Options,
  | "listen"
  | "upstream"
  | "balance"
  | "check"
  | "rise"
  | "fall"
  | "send-proxy"
  | "accept-proxy"
  | "mode"
  | "timeout"
  | "reject"
  | "first-packet"
  | "greeting-pause"
  | "max-connections"
  | "max-per-source"
  | "max-rate"
  | "excess-strikes"
  | "idle"
  | "ipv6-prefix"
  | "judge"
  | "strikes"
>;

export interface GateParts {
  /** In claims that it asks for. */
  readonly name: string;
  readonly config: GateConfig;
  readonly sniffer: Sniffer;
  readonly runtime: Runtime;
  readonly desk: Desk;
  readonly log: Log;
  readonly recorder?: Recorder | undefined;
  /** Nobody is turned away for what it says: a dry run, or a trial. */
  readonly dryRun?: boolean;
  readonly trial?: TrialWatch | undefined;
  /** Where the names of upstreams lead, where somebody else wants to know too. */
  readonly names?: Names;
  /** Undefined: no other gate is in the process. */
  readonly rings?: Rings | undefined;
  /** In place of the gate's own, which records and counts strikes. */
  readonly observer?: SessionObserver;
  /** A socket that listens where this gate is to, from the service manager or the process before. */
  readonly descriptor?: number | undefined;
  /** Whether a descriptor still listens; without it, it is taken to. */
  readonly isListening?: (fd: number) => boolean;
  /** Whether this host has an address now; without it, it is taken to. */
  readonly hasAddress?: (host: string) => boolean;
  readonly nowMs: () => number;
  /** How many gates share the open files of this process; one unless given. */
  readonly gates?: () => number;
  /** A connection of a banned source was accepted, and is refused. */
  refused?(client: Client): void;
  /** An upstream came or went. */
  upstreamChanged?(status: UpstreamStatus): void;
}

/** By a tick that is later, first packets may be here in whole and not read yet. */
const unreadMs = 500;
/** Of several faults of a kind one line in so long. */
const lineMs = 60_000;

/** Without --check: an upstream that is down costs a connect this often, one that is up none. */
const upstreamRetryMs = 5000;

export class Gate implements BanFollower {
  readonly counters: ConnectionCounters = newConnectionCounters();
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  readonly room: Room;
  readonly listenSocket: ListenSocket;
  readonly #parts: GateParts;
  readonly #context: { -readonly [K in keyof AcceptorContext]: AcceptorContext[K] };
  readonly #rejection: Rejection;
  readonly #observer: Observer | undefined;
  readonly #withoutHeader: Repeats<string>;
  /** Told of bans of a dry run or a trial: counts the connections that would be cut. */
  readonly wouldBans: BanFollower = { bansChanged: (changes) => this.#countWouldCut(changes) };
  readonly #rate: ConnectionRate;
  readonly #idleSweep = new IdleSweep();
  #config: GateConfig;

  constructor(parts: GateParts) {
    const { config, sniffer, runtime, desk, log, nowMs } = parts;
    this.#parts = parts;
    this.#config = config;
    this.sessions = new Sessions(config["ipv6-prefix"]);
    this.room = new Room(log);
    this.#resize();
    const ownPort = new OwnPort(() => this.#config);
    this.upstreams = new Upstreams({
      ...{ servers: serversOf(config), policy: policyOf(config), dial: runtime.dial, log },
      names: parts.names ?? new Names(log),
      rings: parts.rings,
      isOwn: (target) => ownPort.isReachedBy(target),
      failed: (isServed) => this.#observer?.upstreamChanged(false, isServed),
      changed: (status) => this.#upstreamChanged(status),
    });
    this.#rate = new ConnectionRate(config["max-rate"]);
    // What comes through a proxy would be the proxy's packets: they are not dropped.
    const isFenced = (client: Client) => client.through === undefined && desk.isFenced(client);
    this.#rejection = new Rejection(this.counters, log, isFenced);
    this.#withoutHeader = new Repeats(lineMs, (what, repeated) => log("warn", withoutHeader(what, repeated)));
    const own =
      parts.observer === undefined
        ? new Observer({
            recorder: parts.recorder,
            trial: parts.trial,
            limits: strikeLimits(config, sniffer),
            gatePort: () => this.port ?? config.listen.port,
            nowMs,
            hasFriend: ({ sourceText }) => this.sessions.hasFriend(sourceText),
            ban: (client, offence) => {
              if (desk.ban(client, offence) === "spared") this.counters.spared++;
            },
          })
        : undefined;
    this.#observer = own;
    const infoOf = tcpInfo(runtime.native);
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
      rate: this.#rate,
      exceeded: (client: Client) => own?.exceeded(client),
      refused: (client: Client) => parts.refused?.(client),
      isProven: handshakes(runtime.native),
      quietMs: (socket: TcpSocket) => {
        const info = infoOf(socket);
        return info && quietMs(info);
      },
      headerMissing: (proxy, reason) => this.#withoutHeader.add(proxy, `${proxy}: ${reason}`, nowMs()),
      reject: (socket: TcpSocket, client: Client) => this.#rejection.end(socket, client),
    };
    this.listenSocket = new ListenSocket({
      ...{ runtime, log, accept: acceptor(this.#context), address: () => this.#config.listen },
      ...{ descriptor: parts.descriptor, isListening: parts.isListening, hasAddress: parts.hasAddress },
      opened: () => this.room.announce(this.#config["max-connections"]),
    });
  }

  /** What judges now. */
  get sniffer(): Sniffer {
    return this.#context.sniffer;
  }

  /** A client that another judge refused, and that is no stranger for it. */
  strike(client: Client, bytes: Uint8Array): void {
    this.#context.observer?.turnedAway(client, bytes, bytes.length, true);
  }

  get config(): GateConfig {
    return this.#config;
  }

  /** The port that it listens on; undefined when it does not. */
  get port(): number | undefined {
    return this.listenSocket.port;
  }

  /** From now on connections of banned sources end without a packet, or with a reset again. */
  async beSilent(isSilent: boolean): Promise<void> {
    if (isSilent) await this.#rejection.beSilent(this.#parts.runtime);
    else this.#rejection.beLoud();
  }

  /** How often lately a source failed to speak as expected, as far as it counts against it. */
  undecidedOf(source: string): number {
    return this.#observer?.undecidedOf(source) ?? 0;
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
    this.#resize();
    Object.assign(this.#context, limitsOf(config), { sniffer });
    this.#rate.change(config["max-rate"]);
    this.upstreams.replace(serversOf(config), policyOf(config));
    this.#observer?.limit(strikeLimits(config, sniffer));
  }

  /** The process may have another number of open files than before: prlimit(1). Those that are open stay. */
  openFilesChanged(descriptors: number): void {
    this.#resize(descriptors);
    this.room.announce(this.#config["max-connections"]);
  }

  /** A banned source's connections are cut. */
  bansChanged(changes: readonly BanChange[]): void {
    const { sessions, counters } = this;
    if (sessions.size === 0) return;
    const bans = changes.filter((change) => change.kind === "ban");
    // Of a single ban the source is looked up; many are quicker found by one look at all connections.
    if (bans.length > fewBans) counters.cut += sessions.cutWhere((client) => this.#context.desk.refuses(client));
    else for (const { ban, claim } of bans) if (this.#isConcerned(claim)) counters.cut += sessions.cut(ban.prefix);
  }

  /**
   * Twice a second: deadlines.
   * @param lateMs how much later than it was to be.
   */
  tick(nowMs: number, lateMs = 0): void {
    this.#observer?.hasTurn(nowMs, lateMs);
    this.sessions.expire(nowMs, lateMs > unreadMs);
    this.room.tick(nowMs);
    this.upstreams.shortage.tick(nowMs);
    this.#withoutHeader.flush(nowMs);
    this.#observer?.tick();
  }

  /** Likewise: what only a connection that lives is worth, and --idle. */
  async settle(): Promise<void> {
    await inTurns(this.sessions.settle());
    await inTurns(this.#idleSweep.step(this.sessions, this.#config.idle));
  }

  /** Looks for upstreams that came or went (--check), or only for those that are down. */
  async lookAtUpstreams(nowMs: number): Promise<void> {
    const everyMs = checkEvery(this.#config);
    if (everyMs === undefined) await this.upstreams.retry(nowMs, upstreamRetryMs);
    else this.upstreams.check(nowMs, everyMs);
  }

  /** Stops accepting; connections that are open go on. Idempotent. */
  close(): void {
    this.listenSocket.close();
  }

  #resize(descriptors?: number): void {
    const { runtime, gates } = this.#parts;
    this.room.resize(runtime.name, this.#config["max-connections"], descriptors, gates?.() ?? 1);
  }

  #isConcerned({ isLocal, gate }: Claim): boolean {
    return isLocal !== true || gate === this.#parts.name;
  }

  #countWouldCut(changes: readonly BanChange[]): void {
    if (this.sessions.size === 0 || changes.length > fewBans) return;
    for (const change of changes) {
      if (change.kind !== "ban" || !this.#isConcerned(change.claim)) continue;
      const { evidence, gate } = change.claim;
      // The connection that showed the evidence is counted otherwise.
      const judged = evidence !== undefined && gate === this.#parts.name ? 1 : 0;
      this.counters.cut += Math.max(0, this.sessions.count(change.ban.prefix) - judged);
    }
  }

  #upstreamChanged(status: UpstreamStatus): void {
    const { log } = this.#parts;
    const { address, reachable } = status;
    const isInline = this.#config.mode === "inline";
    if (reachable === true) log("info", `${isInline ? "Server" : "Upstream"} ${address} is reachable`);
    else log("warn", unreachable(status, isInline, this.upstreams.status().length > 1));
    this.#observer?.upstreamChanged(reachable === true);
    this.#parts.upstreamChanged?.(status);
  }
}

/** A look-up of one source is quicker than a look at all connections up to about so many. */
const fewBans = 32;

function limitsOf(
  config: GateConfig,
): Pick<
  AcceptorContext,
  "firstPacketMs" | "greetingPauseMs" | "maxConnectionsPerSource" | "sendProxy" | "acceptProxy"
> {
  return {
    firstPacketMs: config["first-packet"],
    greetingPauseMs: config["greeting-pause"],
    maxConnectionsPerSource: config["max-per-source"],
    sendProxy: config["send-proxy"],
    acceptProxy: config["accept-proxy"],
  };
}

/** Without --check every connection of a client is a look, and the last one counts. */
function policyOf(config: GateConfig): UpstreamPolicy {
  const { rise, fall } = checkEvery(config) === undefined ? { rise: 1, fall: 1 } : config;
  return { balance: config.balance, sendProxy: config.mode === "inline" ? "off" : config["send-proxy"], rise, fall };
}

function withoutHeader(what: string, repeated: number): string {
  const closed = repeated === 0 ? "a connection" : `${repeated} more connections`;
  const remedy = "let it send one (HAProxy: send-proxy-v2, nginx: proxy_protocol on), or take it out of --accept-proxy";
  return `Closed ${closed} of the proxy ${what}; ${remedy}`;
}

function strikeLimits(config: GateConfig, { undecidedLimit }: Sniffer): StrikeLimits {
  return {
    refused: config.judge === "upstream" ? config.strikes : undefined,
    undecided: undecidedLimit,
    excess: config["excess-strikes"] || undefined,
  };
}

function unreachable({ address, error }: UpstreamStatus, isInline: boolean, hasOthers: boolean): string {
  const others = hasOthers ? "clients go to another" : "clients are reset";
  if (!isInline) return `Upstream ${address} is not reachable: ${error}; ${others} until it is`;
  const remedy = "start it, or say with --listen where it listens; in another network namespace it needs --mode proxy";
  return `Nothing answers on ${address} in this network namespace: ${error}; ${remedy}`;
}
