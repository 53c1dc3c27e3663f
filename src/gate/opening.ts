// SPDX-License-Identifier: Apache-2.0
// One connection to the upstreams that is being opened: one after the other, and of one with a name the address
// that is known first, then those to which the name leads by now.
import type { ConnectTarget, Dialler, SocketEvents, TcpSocket } from "../runtime/types.ts";
import type { Upstream } from "./upstream.ts";

/** One of both is called, once, perhaps before the opening has been asked for to the end. */
export interface OpeningOwner {
  /** `upstream` is to be released when the connection is over. */
  opened(socket: TcpSocket, upstream: Upstream): void;
  /** No upstream answers. */
  unreachable(): void;
}

/** What an opening needs of those who know the upstreams. */
export interface Dialling {
  /** It is not to be asked now. */
  skips(upstream: Upstream): boolean;
  dial(upstream: Upstream, target: ConnectTarget, events: SocketEvents, dialler: Dialler): void;
  /** Where the name of an upstream leads. @throws Error when that cannot be told. */
  resolve(upstream: Upstream): Promise<readonly string[]>;
  succeeded(upstream: Upstream, socket: TcpSocket): void;
  failed(upstream: Upstream, failures: readonly unknown[], nowMs: number): void;
}

export class Opening implements Dialler {
  readonly #dialling: Dialling;
  readonly #upstreams: readonly Upstream[];
  readonly #events: SocketEvents;
  readonly #nowMs: number;
  readonly #owner: OpeningOwner;
  #index = -1;
  #failures: unknown[] | undefined;
  /** Addresses to which the name of the upstream leads, and that were not tried; undefined: nobody was asked. */
  #hosts: string[] | undefined;
  /** Which of them is tried. */
  #host: string | undefined;

  constructor(
    dialling: Dialling,
    upstreams: readonly Upstream[],
    events: SocketEvents,
    nowMs: number,
    owner: OpeningOwner,
  ) {
    this.#dialling = dialling;
    this.#upstreams = upstreams;
    this.#events = events;
    this.#nowMs = nowMs;
    this.#owner = owner;
  }

  /** Tries the next upstream. */
  next(): void {
    this.#failures = undefined;
    this.#hosts = undefined;
    this.#host = undefined;
    this.#index++;
    const upstream = this.#upstreams[this.#index];
    if (upstream === undefined) this.#owner.unreachable();
    else if (this.#dialling.skips(upstream)) this.next();
    else {
      upstream.lastTriedMs = this.#nowMs;
      const { target } = upstream;
      if (target === undefined) this.#otherwise(upstream);
      else this.#dialling.dial(upstream, target, this.#events, this);
    }
  }

  connected(socket: TcpSocket): void {
    const upstream = this.#upstreams[this.#index] as Upstream;
    if (this.#host !== undefined) upstream.dialled = this.#host;
    this.#dialling.succeeded(upstream, socket);
    this.#owner.opened(socket, upstream);
  }

  failed(error: unknown): void {
    this.#failures ??= [];
    this.#failures.push(error);
    this.#otherwise(this.#upstreams[this.#index] as Upstream);
  }

  /** The address that was known refuses: the name may lead elsewhere by now. */
  #otherwise(upstream: Upstream): void {
    if (this.#hosts === undefined && upstream.name !== undefined) void this.#resolve(upstream);
    else this.#nextHost(upstream);
  }

  async #resolve(upstream: Upstream): Promise<void> {
    try {
      const found = await this.#dialling.resolve(upstream);
      this.#hosts = found.filter((host) => host !== upstream.dialled);
    } catch (error) {
      this.#hosts = [];
      this.#failures ??= [];
      this.#failures.push(error);
    }
    this.#nextHost(upstream);
  }

  #nextHost(upstream: Upstream): void {
    this.#host = this.#hosts?.shift();
    if (this.#host !== undefined) {
      this.#dialling.dial(upstream, upstream.at(this.#host), this.#events, this);
      return;
    }
    this.#dialling.failed(upstream, this.#failures ?? [], this.#nowMs);
    this.next();
  }
}
