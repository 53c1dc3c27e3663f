// SPDX-License-Identifier: Apache-2.0
// A connection of a trusted proxy until its header says whose it is (PROXY protocol). What follows the header
// is the client's own, also in the same segment. Nobody is banned for a header that is missing.
import type { Chain } from "../core/chain.ts";
import { Client } from "../core/client.ts";
import { concatenated } from "../core/concatenated.ts";
import { parseProxyHeader } from "../core/proxy_protocol/header.ts";
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";
import { type LiveSession, type NewSession, Place, type Sessions, type SourceSessions } from "./sessions.ts";

/** Not functions of each connection, since there are thousands at a time. */
export interface ProxiedOwner {
  readonly sessions: Sessions;
  readonly ipv6Bits: number;
  /** @returns who hears of the connection from now on. */
  identified(socket: TcpSocket, client: Client, sinceMs: number): SocketEvents;
  headerMissing(proxy: string, reason: string): void;
  /** The proxy only looked whether somebody listens. */
  saidNothing(): void;
}

export class Proxied implements SocketEvents, NewSession {
  /** The proxy, which speaks for itself until its header is read. */
  readonly place: Place = new Place(this);
  chain: Chain<LiveSession> | undefined;
  previous: LiveSession | undefined;
  next: LiveSession | undefined;
  source: SourceSessions | undefined;
  readonly client: Client;
  readonly isFriend = false;
  readonly #owner: ProxiedOwner;
  readonly clientSocket: TcpSocket;
  readonly #sinceMs: number;
  readonly #deadlineMs: number;
  #held: Uint8Array = new Uint8Array(0);
  #isOver = false;

  constructor(owner: ProxiedOwner, socket: TcpSocket, proxy: Client, sinceMs: number, firstPacketMs: number) {
    this.client = proxy;
    this.#owner = owner;
    this.clientSocket = socket;
    this.#sinceMs = sinceMs;
    this.#deadlineMs = sinceMs + firstPacketMs;
    owner.sessions.add(this, this.#deadlineMs);
  }

  data(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#held = this.#held.length === 0 ? bytes : concatenated(this.#held, bytes);
    const result = parseProxyHeader(this.#held);
    switch (result.kind) {
      case "more":
        return;
      case "invalid":
        this.#missing(result.reason);
        return;
      case "header": {
        const rest = this.#held.subarray(result.length);
        this.#finish();
        const { client } = result;
        const inside =
          client === undefined
            ? this.client
            : new Client(client.source.address, client.source.port, this.#owner.ipv6Bits, {
                proxy: this.client.single().text,
                destination: client.destination,
              });
        const events = this.#owner.identified(this.clientSocket, inside, this.#sinceMs);
        this.clientSocket.events = events;
        if (rest.length > 0) events.data(rest, this.clientSocket);
        return;
      }
      default:
        result satisfies never;
    }
  }

  /** Nothing was written yet. */
  drain(): void {}

  end(): void {
    this.deadline();
  }

  /** The time for a first packet is over. */
  deadline(): void {
    if (this.#isOver) return;
    if (this.#held.length > 0) {
      this.#missing("the header is not complete");
      return;
    }
    this.#owner.saidNothing();
    this.#finish();
    this.clientSocket.close();
  }

  /** It is not relayed before it is a session. */
  settled(): void {}

  endIfIdle(): void {}

  close(): void {
    if (this.#isOver) return;
    this.#owner.saidNothing();
    this.#finish();
  }

  cut(): void {
    if (this.#isOver) return;
    this.#finish();
    this.clientSocket.reset();
  }

  #missing(reason: string): void {
    this.#finish();
    this.#owner.headerMissing(this.client.single().text, reason);
    this.clientSocket.close();
  }

  #finish(): void {
    this.#isOver = true;
    this.#owner.sessions.decided(this, this.#deadlineMs);
    this.#owner.sessions.remove(this);
  }
}
