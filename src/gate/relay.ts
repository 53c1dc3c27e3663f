// SPDX-License-Identifier: Apache-2.0
// Joins a client and the server, unchanged both ways, until both ends are done. A stalled writer pauses
// the opposite reader; FIN goes through as FIN, anything else that ends one side resets the other.
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";

/** A peer that vanished without FIN would hold its connection for ever: it is asked after this silence. */
const keepAliveMs = 60_000;

/** One direction: hears `from`, writes to `to`. */
class Leg implements SocketEvents {
  /** Undefined before it stands and when it is closed. */
  from: TcpSocket | undefined;
  to: TcpSocket | undefined;
  ended = false;
  readonly #relay: Relay;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  data(bytes: Uint8Array): void {
    if (this.to?.write(bytes) === false) this.from?.pause();
  }

  drain(): void {
    this.#relay.drained(this);
  }

  end(): void {
    this.ended = true;
    this.to?.shutdown();
  }

  close(): void {
    this.from = undefined;
    this.#relay.closed(this);
  }
}

/** Whoever wants to know of its end extends it: there are thousands of relays at a time. */
export abstract class Relay {
  readonly #fromClient = new Leg(this);
  readonly #fromServer = new Leg(this);

  constructor(client: TcpSocket) {
    this.#fromClient.from = client;
    this.#fromServer.to = client;
  }

  /** Called once, when both connections are gone; perhaps before `start` returns. */
  protected abstract ended(): void;

  /** The client's connection, until it is closed. */
  get clientSocket(): TcpSocket | undefined {
    return this.#fromClient.from;
  }

  /** Who hears the server, from before its connection stands. */
  get serverEvents(): SocketEvents {
    return this.#fromServer;
  }

  /**
   * @param held what the client sent while it was judged; it goes first.
   * @param clientEnded the client's FIN came already.
   */
  start(client: TcpSocket, server: TcpSocket, held: readonly Uint8Array[], clientEnded: boolean): void {
    this.#fromServer.from = server;
    this.#fromClient.to = server;
    client.events = this.#fromClient;
    for (const bytes of held) this.#fromClient.data(bytes);
    if (clientEnded) this.#fromClient.end();
  }

  /** What the server says reaches the client already; what the client says is for its owner to judge. */
  greet(server: TcpSocket): void {
    this.#fromServer.from = server;
  }

  /** The client has read what it was sent before the start. */
  clientDrained(): void {
    this.drained(this.#fromClient);
  }

  /** Both peers are asked from time to time whether they are there still. */
  protected keepAlive(): void {
    this.#fromClient.from?.keepAlive(keepAliveMs);
    this.#fromServer.from?.keepAlive(keepAliveMs);
  }

  /** Resets both legs. */
  protected reset(): void {
    this.#fromClient.from?.reset();
    this.#fromServer.from?.reset();
  }

  drained(leg: Leg): void {
    this.#opposite(leg).from?.resume();
  }

  closed(leg: Leg): void {
    const opposite = this.#opposite(leg);
    if (opposite.from === undefined) this.ended();
    else if (!leg.ended || !opposite.ended) opposite.from.reset();
  }

  #opposite(leg: Leg): Leg {
    return leg === this.#fromClient ? this.#fromServer : this.#fromClient;
  }
}
