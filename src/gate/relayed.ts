// SPDX-License-Identifier: Apache-2.0
// A connection that is being relayed: what is left of its session. Thousands are held at a time, and a session is
// three times as large.
import type { Client } from "../core/client.ts";
import type { TcpSocket } from "../runtime/types.ts";
import type { Relay, RelayOwner } from "./relay.ts";
import type { SessionContext } from "./session.ts";
import type { LiveSession, Place } from "./sessions.ts";
import type { Upstream } from "./upstream.ts";

export class Relayed implements LiveSession, RelayOwner {
  readonly place: Place;
  readonly client: Client;
  readonly isFriend: boolean;
  readonly #context: SessionContext;
  readonly #socket: TcpSocket;
  readonly #relay: Relay;
  readonly #upstream: Upstream;

  /** @param session what it was until now. */
  constructor(
    { place, client, isFriend }: LiveSession,
    context: SessionContext,
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
