// SPDX-License-Identifier: Apache-2.0
// The servers behind the gate: which of them gets a connection, and whether they are there. A connection that
// one of them does not take is tried on the next, since nothing was sent yet.
import type { ServerAddress } from "../config/endpoints.ts";
import { localHeader, type ProxyVersion } from "../core/proxy_protocol/written.ts";
import { codeOf } from "../failure.ts";
import type { Names } from "../host/names.ts";
import type { Log } from "../log.ts";
import { type ConnectTarget, type Runtime, type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";
import { connectError } from "./connect_error.ts";
import { Connects } from "./connects.ts";
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
  readonly connect: Runtime["connect"];
  readonly names: Names;
  readonly log: Log;
  /** An upstream did not take a connection, whatever that says of its state. */
  failed(): void;
  /** An upstream comes or goes. */
  changed(status: UpstreamStatus): void;
}

/**
 * A connect cannot be called back: each holds a descriptor until the kernel gives up, after two minutes. To
 * an upstream that was down when last seen, clients make no more than this many.
 */
const unansweredLimit = 256;
/** For a server that does not end a connection that was only made to look at it. */
const lookEndsMs = 1000;

/** A connection to one of the servers. */
export interface OpenedUpstream {
  readonly socket: TcpSocket;
  /** To be released when the connection is over. */
  readonly upstream: Upstream;
}

export class Upstreams {
  readonly shortage: Shortage;
  #upstreams: readonly Upstream[];
  #policy: UpstreamPolicy;
  readonly #options: UpstreamsOptions;
  readonly #connects: Connects;
  /** With round robin: whose turn it is. */
  #turn = 0;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#policy = options.policy;
    this.#connects = new Connects(options.connect);
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

  /** @returns the connection and whom to `release` when it is over; undefined when no upstream answers. */
  async open(events: SocketEvents, nowMs: number): Promise<OpenedUpstream | undefined> {
    for (const upstream of this.#inOrder()) {
      if (upstream.reachable === false && upstream.unanswered >= unansweredLimit) continue;
      const socket = await this.#try(upstream, events, nowMs);
      if (socket === undefined) continue;
      upstream.active++;
      upstream.total++;
      return { socket, upstream };
    }
    return undefined;
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

  status(): UpstreamStatus[] {
    return this.#upstreams.map((upstream) => this.#statusOf(upstream));
  }

  #stale(upstreams: readonly Upstream[], nowMs: number, idleMs: number): readonly Upstream[] {
    return upstreams.filter(({ lastTriedMs, isLookedAt }) => !isLookedAt && nowMs - lastTriedMs >= idleMs);
  }

  async #look(upstream: Upstream, nowMs: number): Promise<void> {
    upstream.isLookedAt = true;
    const socket = await this.#try(upstream, silentEvents, nowMs).finally(() => {
      upstream.isLookedAt = false;
    });
    if (socket === undefined) return;
    const { sendProxy } = this.#policy;
    if (sendProxy === "off") return socket.close();
    socket.write(localHeader(sendProxy));
    socket.shutdown();
    setTimeout(() => socket.close(), lookEndsMs);
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

  async #try(upstream: Upstream, events: SocketEvents, nowMs: number): Promise<TcpSocket | undefined> {
    upstream.lastTriedMs = nowMs;
    const { server, name, dialled } = upstream;
    const failures: unknown[] = [];
    const attempt = async (target: ConnectTarget) => {
      try {
        return await this.#connect(upstream, target, events);
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    };
    const known = "path" in server ? server : dialled === undefined ? undefined : { host: dialled, port: server.port };
    let socket = known && (await attempt(known));
    if (socket === undefined && name !== undefined && "host" in server) {
      // The address refuses: the name may lead elsewhere by now.
      const found = await this.#options.names.ask(name);
      if (found.length === 0) failures.push(new Error(`its name does not resolve: ${this.#unresolved(name)}`));
      for (const host of found) {
        if (host === dialled) continue;
        socket = await attempt({ host, port: server.port });
        if (socket === undefined) continue;
        upstream.dialled = host;
        break;
      }
    }
    if (socket === undefined) this.#failed(upstream, failures, nowMs);
    else this.#saw(upstream, undefined);
    return socket;
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

  #connect(upstream: Upstream, target: ConnectTarget, events: SocketEvents): Promise<TcpSocket> {
    upstream.unanswered++;
    return this.#connects.open(target, events, () => {
      upstream.unanswered--;
    });
  }

  #saw(upstream: Upstream, error: string | undefined): void {
    if (error !== undefined) this.#options.failed();
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
