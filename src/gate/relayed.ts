// SPDX-License-Identifier: Apache-2.0
// A connection that is being relayed: what is left of its session. Thousands are held at a time, and a session is
// three times as large.
import type { Client } from "../core/client.ts";
import type { ConnectionCounters } from "../core/counters.ts";
import type { TcpSocket } from "../runtime/types.ts";
import type { Relay, RelayOwner } from "./relay.ts";
import type { LiveSession, Place, Sessions } from "./sessions.ts";
import type { Upstream } from "./upstream.ts";
import type { Upstreams } from "./upstreams.ts";

/** What it needs of the gate. */
export interface RelayedContext {
  readonly counters: ConnectionCounters;
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  /** How long nobody has sent anything; undefined when it is not known. */
  quietMs(socket: TcpSocket): number | undefined;
  /** Ends the connection of a source that is or was to be banned. */
  reject(socket: TcpSocket, client: Client): void;
}

export class Relayed implements LiveSession, RelayOwner {
  readonly place: Place;
  readonly client: Client;
  readonly isFriend: boolean;
  readonly #context: RelayedContext;
  readonly #socket: TcpSocket;
  readonly #relay: Relay;
  readonly #upstream: Upstream;

  /** @param session what it was until now. */
  constructor(
    { place, client, isFriend }: LiveSession,
    context: RelayedContext,
    socket: TcpSocket,
    relay: Relay,
    upstream: Upstream,
  ) {
    this.place = place;
    this.client = client;
    this.isFriend = isFriend;
    this.#context = context;
    this.#socket = socket;
    this.#relay = relay;
    this.#upstream = upstream;
  }

  /** It is judged. */
  deadline(): void {}

  settled(): void {
    this.#relay.keepAlive();
  }

  endIfIdle(idleMs: number): void {
    const { counters, quietMs, sessions } = this.#context;
    if ((quietMs(this.#socket) ?? 0) < idleMs) return;
    counters.idleEnded++;
    sessions.remove(this);
    this.#relay.cut();
  }

  cut(): void {
    this.#context.sessions.remove(this);
    this.#context.reject(this.#socket, this.client);
    this.#relay.cut();
  }

  relayEnded(): void {
    this.#context.upstreams.release(this.#upstream);
    this.#context.sessions.remove(this);
  }
}
