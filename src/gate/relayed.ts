// SPDX-License-Identifier: Apache-2.0
// A connection that is being relayed: what is left of its session. Thousands are held at a time, and a session is
// three times as large.
import type { Chain } from "../core/chain.ts";
import type { Client } from "../core/client.ts";
import type { ConnectionCounters } from "../core/counters.ts";
import type { TcpSocket } from "../runtime/types.ts";
import { Relay } from "./relay.ts";
import type { LiveSession, Sessions, SourceSessions } from "./sessions.ts";
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

export class Relayed extends Relay implements LiveSession {
  chain: Chain<LiveSession> | undefined;
  previous: LiveSession | undefined;
  next: LiveSession | undefined;
  source: SourceSessions | undefined;
  youth: number | undefined;
  readonly client: Client;
  isFriend = false;
  readonly #context: RelayedContext;
  /** What it is connected to. */
  upstream: Upstream | undefined;

  constructor(client: Client, context: RelayedContext, socket: TcpSocket) {
    super(socket);
    this.client = client;
    this.#context = context;
  }

  /** It is judged. */
  deadline(): void {}

  settled(): void {
    this.keepAlive();
  }

  endIfIdle(idleMs: number): void {
    const { counters, quietMs, sessions } = this.#context;
    const { clientSocket } = this;
    if (clientSocket === undefined || (quietMs(clientSocket) ?? 0) < idleMs) return;
    counters.idleEnded++;
    sessions.remove(this);
    this.reset();
  }

  cut(): void {
    const { clientSocket } = this;
    this.#context.sessions.remove(this);
    if (clientSocket !== undefined) this.#context.reject(clientSocket, this.client);
    this.reset();
  }

  protected ended(): void {
    if (this.upstream !== undefined) this.#context.upstreams.release(this.upstream);
    this.#context.sessions.remove(this);
  }
}
