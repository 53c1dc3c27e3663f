// SPDX-License-Identifier: Apache-2.0
// Joins a client and the server, unchanged both ways, until both ends are done. A stalled writer pauses
// the opposite reader; FIN goes through as FIN, anything else that ends one side resets the other.
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";

/** A peer that vanished without FIN would hold its connection for ever: it is asked after this silence. */
const keepAliveMs = 60_000;

/** Whose FIN has come. */
const clients = 1;
const servers = 2;

/**
 * Hears both connections. Whoever wants to know of its end extends it: there are thousands of relays at a time, and
 * an object for each direction, or for who wants to know, counts.
 */
export abstract class Relay implements SocketEvents {
  /** Until it is closed. */
  #client: TcpSocket | undefined;
  /** Undefined before it stands and when it is closed. */
  #server: TcpSocket | undefined;
  /** `clients` and `servers`. */
  #ends = 0;

  constructor(client: TcpSocket) {
    this.#client = client;
  }

  /** Called once, when both connections are gone; perhaps before `start` returns. */
  protected abstract ended(): void;

  /** The client's connection, until it is closed. */
  get clientSocket(): TcpSocket | undefined {
    return this.#client;
  }

  /**
   * It hears the server from before its connection stands, and the client from now on.
   * @param held what the client sent while it was judged; it goes first.
   * @param clientEnded the client's FIN came already.
   */
  start(client: TcpSocket, server: TcpSocket, held: readonly Uint8Array[], clientEnded: boolean): void {
    this.#server = server;
    client.events = this;
    for (const bytes of held) this.data(bytes, client);
    if (clientEnded) this.end(client);
  }

  /** What the server says reaches the client already; what the client says is for its owner to judge. */
  greet(server: TcpSocket): void {
    this.#server = server;
  }

  /** The client has read what it was sent before the start. */
  clientDrained(): void {
    this.#server?.resume();
  }

  data(bytes: Uint8Array, from: TcpSocket): void {
    if (this.#opposite(from)?.write(bytes) === false) from.pause();
  }

  drain(to: TcpSocket): void {
    this.#opposite(to)?.resume();
  }

  end(from: TcpSocket): void {
    this.#ends |= from === this.#client ? clients : servers;
    this.#opposite(from)?.shutdown();
  }

  close(_error: Error | undefined, socket: TcpSocket): void {
    const opposite = this.#opposite(socket);
    if (socket === this.#client) this.#client = undefined;
    else this.#server = undefined;
    if (opposite === undefined) this.ended();
    else if (this.#ends !== (clients | servers)) opposite.reset();
  }

  /** Both peers are asked from time to time whether they are there still. */
  protected keepAlive(): void {
    this.#client?.keepAlive(keepAliveMs);
    this.#server?.keepAlive(keepAliveMs);
  }

  /** Resets both connections. */
  protected reset(): void {
    this.#client?.reset();
    this.#server?.reset();
  }

  #opposite(socket: TcpSocket): TcpSocket | undefined {
    return socket === this.#client ? this.#server : this.#client;
  }
}
