// SPDX-License-Identifier: Apache-2.0
// Taps: they watch the beginning of relayed connections, for those who want to know what the server made of
// a client. A tap stands between a socket and the relay and is removed as soon as that is known.
import type { Client } from "../core/client.ts";
import type { Recording, ServerVerdict } from "../core/learn/recording.ts";
import { stayMs, Witness } from "../core/learn/witness.ts";
import { pseudonymOf } from "../host/pseudonym.ts";
import { type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";

/** The beginning of a connection, and what the server made of it. */
export interface Exchange {
  readonly client: Client;
  /** False for what only a dry run relays. */
  readonly isExpected: boolean;
  /** It speaks what is expected, whether or not its source would be refused. */
  readonly speaksExpected: boolean;
  readonly recording: Recording;
  /** When the server answered, by the gate's clock. */
  readonly answeredMs: number | undefined;
}

/** The taps on all connections of a gate. */
export class Taps {
  readonly #nowMs: () => number;
  readonly #report: (exchange: Exchange) => void;
  /** Servers that answered and may yet hang up, in the order of their answers. */
  readonly #staying = new Set<Tap>();

  /** @param report called once for each connection, when nothing more is to be learned from it. */
  constructor(nowMs: () => number, report: (exchange: Exchange) => void) {
    this.#nowMs = nowMs;
    this.#report = report;
  }

  /** @param atMs when the client came, milliseconds since 1970. */
  open(client: Client, isExpected: boolean, atMs: number, speaksExpected = isExpected): Tap {
    return new Tap(client, { isExpected, speaksExpected }, atMs, this);
  }

  /** To be called every second or so. */
  tick(): void {
    const nowMs = this.#nowMs();
    for (const tap of this.#staying) if (!tap.hasStayed(nowMs)) return;
  }

  nowMs(): number {
    return this.#nowMs();
  }

  answered(tap: Tap): void {
    this.#staying.add(tap);
  }

  done(tap: Tap, exchange: Exchange): void {
    this.#staying.delete(tap);
    this.#report(exchange);
  }
}

/** One connection. */
export class Tap {
  readonly #client: Client;
  readonly #judged: Pick<Exchange, "isExpected" | "speaksExpected">;
  readonly #owner: Taps;
  readonly #witness: Witness;
  readonly #clientSide: TapSide;
  readonly #serverSide: TapSide;
  #isSettled = false;
  #verdict: ServerVerdict = "unknown";

  constructor(client: Client, judged: Pick<Exchange, "isExpected" | "speaksExpected">, atMs: number, owner: Taps) {
    this.#client = client;
    this.#judged = judged;
    this.#owner = owner;
    this.#witness = new Witness(atMs);
    this.#clientSide = new TapSide(this, {
      data: (bytes) => this.#sent(bytes),
      end: () => this.#witness.clientEnded(),
      close: () => this.#witness.clientReset(),
    });
    this.#serverSide = new TapSide(this, {
      data: () => this.#answered(),
      end: () => this.#witness.serverEnded(),
      close: () => this.#witness.serverEnded(),
    });
  }

  /** What hears the server in place of `inner`, from before its connection stands. */
  serverEvents(inner: SocketEvents): SocketEvents {
    this.#serverSide.inner = inner;
    return this.#serverSide;
  }

  /**
   * Both connections stand; to be called right before the relay starts.
   * @param held what the client sent until now.
   */
  start(server: TcpSocket, held: readonly Uint8Array[], clientEnded: boolean): void {
    this.#serverSide.socket = server;
    for (const bytes of held) this.#witness.sent(bytes);
    if (clientEnded) this.#witness.clientEnded();
  }

  /** The server has greeted the client already, which is judged only now: in place of `start`. */
  startGreeted(server: TcpSocket, held: readonly Uint8Array[], clientEnded: boolean): void {
    this.#witness.answered(this.#owner.nowMs());
    this.#serverSide.inner = server.events;
    server.events = this.#serverSide;
    this.start(server, held, clientEnded);
  }

  /** The relay has taken the client's events. */
  join(client: TcpSocket): void {
    if (this.#isSettled) return;
    this.#clientSide.inner = client.events;
    this.#clientSide.socket = client;
    client.events = this.#clientSide;
  }

  /** False while the server may yet hang up on its answer. */
  hasStayed(nowMs: number): boolean {
    if (nowMs - (this.#witness.answeredMs ?? nowMs) < stayMs) return false;
    if (this.settle("accepted")) this.report();
    return true;
  }

  /** @returns true when this was the verdict, and it is to be reported. */
  settle(verdict: ServerVerdict | undefined): boolean {
    if (verdict === undefined || this.#isSettled) return false;
    this.#isSettled = true;
    this.#verdict = verdict;
    return true;
  }

  report(): void {
    this.#clientSide.remove();
    this.#serverSide.remove();
    const { answeredMs } = this.#witness;
    this.#owner.done(this, {
      ...{ ...this.#judged, client: this.#client, answeredMs },
      recording: { ...this.#witness.recording(this.#verdict), source: pseudonymOf(this.#client.sourceText) },
    });
  }

  #sent(bytes: Uint8Array): undefined {
    this.#witness.sent(bytes);
  }

  #answered(): ServerVerdict | undefined {
    const isFirst = this.#witness.answeredMs === undefined;
    const verdict = this.#witness.answered(this.#owner.nowMs());
    if (isFirst && verdict === undefined && this.#witness.answeredMs !== undefined) this.#owner.answered(this);
    return verdict;
  }
}

type Noted<A extends readonly unknown[]> = (...args: A) => ServerVerdict | undefined;

interface Notes {
  readonly data: Noted<[bytes: Uint8Array]>;
  readonly end: Noted<[]>;
  readonly close: Noted<[]>;
}

/**
 * One side. What happened is noted before the relay hears of it, since that may end the other side too, and
 * reported after it, since that may end this connection.
 */
class TapSide implements SocketEvents {
  inner: SocketEvents = silentEvents;
  socket: TcpSocket | undefined;
  readonly #tap: Tap;
  readonly #notes: Notes;

  constructor(tap: Tap, notes: Notes) {
    this.#tap = tap;
    this.#notes = notes;
  }

  data(bytes: Uint8Array, from: TcpSocket): void {
    const isOver = this.#tap.settle(this.#notes.data(bytes));
    this.inner.data(bytes, from);
    if (isOver) this.#tap.report();
  }

  drain(to: TcpSocket): void {
    this.inner.drain(to);
  }

  end(from: TcpSocket): void {
    const isOver = this.#tap.settle(this.#notes.end());
    this.inner.end(from);
    if (isOver) this.#tap.report();
  }

  close(error: Error | undefined, socket: TcpSocket): void {
    const isOver = this.#tap.settle(this.#notes.close());
    this.inner.close(error, socket);
    if (isOver) this.#tap.report();
  }

  remove(): void {
    if (this.socket?.events === this) this.socket.events = this.inner;
  }
}
