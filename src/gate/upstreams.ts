// SPDX-License-Identifier: Apache-2.0
// The servers behind the gate: which of them gets a connection, and whether they are there. A connection that
// one of them does not take is tried on the next, since nothing was sent yet.
import { setTimeout } from "node:timers/promises";
import { formatServer, type ServerAddress } from "../config/endpoints.ts";
import { localHeader, type ProxyVersion } from "../core/proxy_protocol/written.ts";
import { codeOf } from "../failure.ts";
import type { Names } from "../host/names.ts";
import type { Log } from "../log.ts";
import { type ConnectTarget, type Runtime, type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";
import { connectError } from "./connect_error.ts";
import { Connects } from "./connects.ts";
import { type Dialling, Opening, type OpeningOwner } from "./opening.ts";
import type { Ends } from "./rings.ts";
import { isShortage, Shortage } from "./shortage.ts";
import { type Thresholds, Upstream, type UpstreamStatus } from "./upstream.ts";

/** How upstreams are chosen and looked at. */
export interface UpstreamPolicy extends Thresholds {
  readonly balance: "failover" | "round-robin";
  /** Said to an upstream that is only looked at: this is no client. */
  readonly sendProxy: ProxyVersion | "off";
}

export interface UpstreamsOptions {
  readonly servers: readonly ServerAddress[];
  readonly policy: UpstreamPolicy;
  readonly dial: Runtime["dial"];
  readonly names: Names;
  readonly log: Log;
  /** It leads back to the gate itself. */
  isOwn(target: ConnectTarget): boolean;
  /** Undefined where there are no other gates, and nobody to be told. */
  readonly rings?: Rings | undefined;
  /** An upstream did not take a connection, whatever that says of its state. @param isServed another one answers. */
  failed(isServed: boolean): void;
  /** An upstream comes or goes. */
  changed(status: UpstreamStatus): void;
}

/** Whether connections come back to the gate that opens them. */
export interface Rings {
  /** This gate's name. */
  readonly name: string;
  /** The gate of this process at which a connection from here has arrived. */
  arrivedAt(ends: Ends): string | undefined;
  /** Whether what arrives at a gate comes to this one. */
  comesBackFrom(gate: string): boolean;
}

/** A connection of this process to itself is accepted one turn later; under load a turn takes some milliseconds. */
const arrivesMs = 50;
/** How often it is looked where a client's connection arrives. */
const followMs = 100;

/**
 * A connect cannot be called back: each holds a descriptor until the kernel gives up, after two minutes. To
 * an upstream that was down when last seen, clients make no more than this many.
 */
const unansweredLimit = 256;
/** For a server that does not end a connection that was only made to look at it. */
const lookEndsMs = 1000;

export class Upstreams {
  readonly shortage: Shortage;
  #upstreams: readonly Upstream[];
  #policy: UpstreamPolicy;
  readonly #options: UpstreamsOptions;
  readonly #forClients: Dialling;
  readonly #forLooks: Dialling;
  /** With round robin: whose turn it is. */
  #turn = 0;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#policy = options.policy;
    const connects = new Connects(options.dial);
    this.#forLooks = {
      skips: () => false,
      dial(upstream, target, events, dialler) {
        if (options.isOwn(target)) dialler.failed(new Error(leadsBack(target)));
        else connects.dial(upstream, target, events, dialler);
      },
      resolve: (upstream) => this.#resolve(upstream),
      succeeded: () => {},
      failed: (upstream, failures, nowMs) => this.#failed(upstream, failures, nowMs),
    };
    this.#forClients = {
      ...this.#forLooks,
      skips: (upstream) => upstream.isRing || (upstream.reachable === false && upstream.unanswered >= unansweredLimit),
      succeeded: (upstream, socket) => {
        this.#saw(upstream, undefined);
        upstream.active++;
        upstream.total++;
        const nowMs = performance.now();
        if (nowMs - upstream.followedMs < followMs) return;
        upstream.followedMs = nowMs;
        void this.#follow(upstream, socket);
      },
    };
    this.#upstreams = options.servers.map((server) => new Upstream(server));
    this.shortage = new Shortage(options.log);
  }

  /** From the next connection on. What is known of those that stay is kept. */
  replace(servers: readonly ServerAddress[], policy: UpstreamPolicy): void {
    this.#policy = policy;
    const known = new Map(this.#upstreams.map((upstream) => [upstream.text, upstream]));
    this.#upstreams = servers.map((server) => {
      const upstream = new Upstream(server);
      return known.get(upstream.text) ?? upstream;
    });
  }

  /** Connects to one of them for a client. */
  open(events: SocketEvents, nowMs: number, owner: OpeningOwner): void {
    new Opening(this.#forClients, this.#inOrder(), events, nowMs, owner).next();
  }

  /** A connection to this upstream is over. */
  release(upstream: Upstream): void {
    upstream.active--;
  }

  /** Tries those of which nothing was seen for `idleMs`, so that readiness is true also without traffic. */
  async probe(nowMs: number, idleMs: number): Promise<void> {
    await Promise.all(this.#stale(this.#upstreams, nowMs, idleMs).map((upstream) => this.#look(upstream, nowMs)));
  }

  /** The same, without waiting for a slow one to keep the others waiting. */
  check(nowMs: number, idleMs: number): void {
    for (const upstream of this.#stale(this.#upstreams, nowMs, idleMs)) void this.#look(upstream, nowMs);
  }

  /** Tries those that were down when last seen, so that the first choice has its clients back. */
  async retry(nowMs: number, idleMs: number): Promise<void> {
    const down = this.#upstreams.filter(({ reachable }) => reachable === false);
    await Promise.all(this.#stale(down, nowMs, idleMs).map((upstream) => this.#look(upstream, nowMs)));
  }

  /** Asks where names lead now. Connections to an address that a name had go on until they end. */
  async resolve(): Promise<void> {
    const named = this.#upstreams.filter(({ name }) => name !== undefined);
    await Promise.all(
      named.map(async (upstream) => {
        const found = await this.#options.names.ask(upstream.name ?? "");
        const { dialled } = upstream;
        const [first] = found;
        if (dialled === undefined || first === undefined || found.includes(dialled)) return;
        upstream.dialled = first;
        const told = `Upstream ${upstream.text} is at ${first} now, no more at ${dialled}; open connections go on`;
        this.#options.log("info", told);
      }),
    );
  }

  get ready(): boolean {
    return this.#upstreams.some((upstream) => upstream.reachable === true);
  }

  /** The gates of this process at which connections to upstreams arrive. */
  leadsTo(): readonly string[] {
    return this.#upstreams.flatMap(({ leadsTo }) => leadsTo ?? []);
  }

  status(): UpstreamStatus[] {
    return this.#upstreams.map((upstream) => this.#statusOf(upstream));
  }

  #stale(upstreams: readonly Upstream[], nowMs: number, idleMs: number): readonly Upstream[] {
    return upstreams.filter(({ lastTriedMs, isLookedAt }) => !isLookedAt && nowMs - lastTriedMs >= idleMs);
  }

  async #look(upstream: Upstream, nowMs: number): Promise<void> {
    upstream.isLookedAt = true;
    const socket = await new Promise<TcpSocket | undefined>((resolve) => {
      const owner = { opened: resolve, unreachable: () => resolve(undefined) };
      new Opening(this.#forLooks, [upstream], silentEvents, nowMs, owner).next();
    });
    if (socket !== undefined) await this.#looked(upstream, socket);
    upstream.isLookedAt = false;
  }

  async #looked(upstream: Upstream, socket: TcpSocket): Promise<void> {
    if (!upstream.isRing) this.#saw(upstream, undefined);
    const wasRing = upstream.isRing;
    if (!(await this.#goesRound(upstream, socket)) && wasRing) this.#saw(upstream, undefined);
    const { sendProxy } = this.#policy;
    if (sendProxy === "off") return socket.close();
    socket.write(localHeader(sendProxy));
    socket.shutdown();
    void setTimeout(lookEndsMs).then(() => socket.close());
  }

  /** One client's connection now and then: a rule that turns connections back may come at any time. */
  async #follow(upstream: Upstream, socket: TcpSocket): Promise<void> {
    // All that are on the ring end with it.
    if (await this.#goesRound(upstream, socket)) socket.reset();
  }

  /** Whether a connection that was opened just now came back. Nobody is relayed to such an upstream. */
  async #goesRound(upstream: Upstream, socket: TcpSocket): Promise<boolean> {
    const { rings } = this.#options;
    if (rings === undefined || "path" in upstream.server) return false;
    const { local, remote } = socket;
    await setTimeout(arrivesMs);
    upstream.leadsTo = rings.arrivedAt({ local, remote });
    upstream.isRing = upstream.leadsTo !== undefined && rings.comesBackFrom(upstream.leadsTo);
    if (!upstream.isRing) return false;
    const way = upstream.leadsTo === rings.name ? "" : `, by gate "${upstream.leadsTo}"`;
    const error = `connections to it come back to this gate${way}: name the server's own address`;
    if (upstream.refuse(error)) this.#options.changed(this.#statusOf(upstream));
    return true;
  }

  /** Those that are not known to be down first. */
  #inOrder(): readonly Upstream[] {
    const upstreams = this.#upstreams;
    if (upstreams.length < 2) return upstreams;
    if (this.#policy.balance === "failover" && upstreams[0]?.reachable !== false) return upstreams;
    const start = this.#policy.balance === "failover" ? 0 : this.#turn++ % upstreams.length;
    const rotated = [...upstreams.slice(start), ...upstreams.slice(0, start)];
    return rotated.sort((a, b) => Number(a.reachable === false) - Number(b.reachable === false));
  }

  async #resolve({ name = "" }: Upstream): Promise<readonly string[]> {
    const found = await this.#options.names.ask(name);
    if (found.length === 0) throw new Error(`its name does not resolve: ${this.#unresolved(name)}`);
    return found;
  }

  #failed(upstream: Upstream, failures: readonly unknown[], nowMs: number): void {
    // What this host lacks says nothing of the upstream; what one of its addresses said does.
    const failure = failures.find((error) => !isShortage(codeOf(error))) ?? failures[0];
    const code = codeOf(failure);
    if (isShortage(code)) {
      upstream.error = code;
      this.shortage.add(upstream.text, code, nowMs);
    } else this.#saw(upstream, connectError(failure, upstream.server));
  }

  #saw(upstream: Upstream, error: string | undefined): void {
    if (error !== undefined)
      this.#options.failed(this.#upstreams.some((one) => one !== upstream && one.reachable === true));
    if (upstream.saw(error, this.#policy)) this.#options.changed(this.#statusOf(upstream));
  }

  #statusOf(upstream: Upstream): UpstreamStatus {
    const { text, reachable, error, active, total, failed, dialled, name } = upstream;
    const resolved = name === undefined ? undefined : dialled;
    const unresolved = name === undefined ? undefined : this.#unresolved(name);
    return { address: text, reachable, error, active, total, failed, resolved, unresolved };
  }

  #unresolved(name: string): string | undefined {
    return this.#options.names.failureOf(name);
  }
}

function leadsBack(target: ConnectTarget): string {
  return `the gate itself listens at ${formatServer(target)}: name the server's own address`;
}
