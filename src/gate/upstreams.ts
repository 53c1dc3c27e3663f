// SPDX-License-Identifier: Apache-2.0
// The servers behind the gate, in order of preference: the first that answers gets the connection. What
// was last seen of each is kept for readiness.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { formatEndpoint } from "../core/address.ts";
import { type Runtime, type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

export interface UpstreamStatus {
  readonly address: string;
  /** Undefined until the first attempt has ended. */
  readonly reachable: boolean | undefined;
  readonly error: string | undefined;
  readonly active: number;
}

/** One of the servers, with what was last seen of it. */
export interface Upstream extends UpstreamAddress {
  readonly text: string;
  reachable: boolean | undefined;
  error: string | undefined;
  active: number;
  lastTriedMs: number;
  /** Where a name led when last asked; a name whose address refuses is asked again. */
  dialled: string | undefined;
  /** Connects without an answer yet, also those that nobody waits for any more. */
  unanswered: number;
}

/**
 * A connect cannot be called back: each holds a descriptor until the kernel gives up, after two minutes. To
 * an upstream that was down when last seen, clients make no more than this many.
 */
const unansweredLimit = 256;

/** A server on the same site answers in milliseconds; 3 s covers one lost SYN (RFC 6298: 1 s, then 2 s). */
const connectTimeoutMs = 3500;

/** A connection to one of the servers. */
export interface OpenedUpstream {
  readonly socket: TcpSocket;
  /** To be released when the connection is over. */
  readonly upstream: Upstream;
}

/** A connect that is under way. */
interface Attempt {
  readonly endsMs: number;
  readonly reject: (error: Error) => void;
}

export class Upstreams {
  #upstreams: readonly Upstream[];
  readonly #connect: Runtime["connect"];
  readonly #resolve: (name: string) => Promise<readonly string[]>;
  readonly #changed: (status: UpstreamStatus) => void;
  readonly #attempts = new Set<Attempt>();
  /** One for all attempts: thousands of connects a second would spend their time on timers. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param changed called when an upstream comes or goes.
   * @param resolve where a name leads now; nothing when it leads nowhere.
   */
  constructor(
    addresses: readonly UpstreamAddress[],
    connect: Runtime["connect"],
    changed: (status: UpstreamStatus) => void,
    resolve = addressesOf,
  ) {
    this.#connect = connect;
    this.#resolve = resolve;
    this.#changed = changed;
    this.#upstreams = addresses.map(newUpstream);
  }

  /** From the next connection on. What is known of those that stay is kept. */
  replace(addresses: readonly UpstreamAddress[]): void {
    this.#upstreams = addresses.map((address) => {
      return (
        this.#upstreams.find(({ host, port }) => host === address.host && port === address.port) ?? newUpstream(address)
      );
    });
  }

  /** @returns the connection and whom to `release` when it is over; undefined when no upstream answers. */
  async open(events: SocketEvents, nowMs: number): Promise<OpenedUpstream | undefined> {
    for (const upstream of this.#inOrder()) {
      if (upstream.reachable === false && upstream.unanswered >= unansweredLimit) continue;
      const socket = await this.#try(upstream, events, nowMs);
      if (socket === undefined) continue;
      upstream.active++;
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
    await this.#look(this.#upstreams, nowMs, idleMs);
  }

  /** Tries those that were down when last seen, so that the first choice has its clients back. */
  async retry(nowMs: number, idleMs: number): Promise<void> {
    const down = this.#upstreams.filter(({ reachable }) => reachable === false);
    if (down.length > 0) await this.#look(down, nowMs, idleMs);
  }

  get ready(): boolean {
    return this.#upstreams.some((upstream) => upstream.reachable === true);
  }

  status(): UpstreamStatus[] {
    return this.#upstreams.map(statusOf);
  }

  async #look(upstreams: readonly Upstream[], nowMs: number, idleMs: number): Promise<void> {
    const stale = upstreams.filter(({ lastTriedMs }) => nowMs - lastTriedMs >= idleMs);
    await Promise.all(stale.map(async (upstream) => (await this.#try(upstream, silentEvents, nowMs))?.close()));
  }

  /** Those that are not known to be down first. */
  #inOrder(): readonly Upstream[] {
    const [first, ...others] = this.#upstreams;
    if (first === undefined || others.length === 0 || first.reachable !== false) return this.#upstreams;
    return [...this.#upstreams].sort((a, b) => Number(a.reachable === false) - Number(b.reachable === false));
  }

  async #try(upstream: Upstream, events: SocketEvents, nowMs: number): Promise<TcpSocket | undefined> {
    upstream.lastTriedMs = nowMs;
    const { dialled, host } = upstream;
    let failure: unknown;
    try {
      if (dialled !== undefined)
        return this.#reached(upstream, dialled, await this.#attempt(upstream, dialled, events));
    } catch (error) {
      failure = error;
    }
    for (const address of dialled === host ? [] : await this.#elsewhere(upstream)) {
      try {
        return this.#reached(upstream, address, await this.#attempt(upstream, address, events));
      } catch (error) {
        failure ??= error;
      }
    }
    this.#saw(upstream, false, reasonOf(failure));
    return undefined;
  }

  #reached(upstream: Upstream, address: string, socket: TcpSocket): TcpSocket {
    upstream.dialled = address;
    this.#saw(upstream, true, undefined);
    return socket;
  }

  /** Where a name leads now, beside the address that was dialled. */
  async #elsewhere({ host, dialled }: Upstream): Promise<readonly string[]> {
    const found = await this.#resolve(host);
    // A name that does not resolve is dialled as it is: the runtime says what is wrong with it.
    return found.length === 0 ? [host] : found.filter((address) => address !== dialled);
  }

  #attempt(upstream: Upstream, address: string, events: SocketEvents): Promise<TcpSocket> {
    return new Promise((resolve, reject) => {
      const attempt: Attempt = { endsMs: performance.now() + connectTimeoutMs, reject };
      this.#attempts.add(attempt);
      this.#watch(connectTimeoutMs);
      upstream.unanswered++;
      this.#connect({ host: address, port: upstream.port }, events).then(
        (socket) => {
          upstream.unanswered--;
          if (this.#attempts.delete(attempt)) resolve(socket);
          else socket.reset();
        },
        (error: unknown) => {
          upstream.unanswered--;
          this.#attempts.delete(attempt);
          reject(error);
        },
      );
    });
  }

  /** All attempts may take equally long, so the first one to end is the first that is still there. */
  #watch(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const nowMs = performance.now();
      for (const attempt of this.#attempts) {
        if (attempt.endsMs > nowMs) {
          this.#watch(attempt.endsMs - nowMs);
          return;
        }
        this.#attempts.delete(attempt);
        attempt.reject(new Error(`no answer within ${connectTimeoutMs / 1000} s`));
      }
    }, afterMs);
  }

  #saw(upstream: Upstream, reachable: boolean, error: string | undefined): void {
    const changed = upstream.reachable !== reachable;
    upstream.reachable = reachable;
    upstream.error = error;
    if (changed) this.#changed(statusOf(upstream));
  }
}

/** Not from a cache: the name may lead elsewhere by now. */
async function addressesOf(name: string): Promise<readonly string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}

/** `ECONNREFUSED` says more than Bun's "Failed to connect". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

function newUpstream({ host, port }: UpstreamAddress): Upstream {
  return {
    host,
    port,
    text: formatEndpoint({ address: host, port }),
    reachable: undefined,
    error: undefined,
    active: 0,
    lastTriedMs: Number.NEGATIVE_INFINITY,
    dialled: isIP(host) > 0 ? host : undefined,
    unanswered: 0,
  };
}

function statusOf({ text, reachable, error, active }: Upstream): UpstreamStatus {
  return { address: text, reachable, error, active };
}
