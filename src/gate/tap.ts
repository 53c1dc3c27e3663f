// SPDX-License-Identifier: Apache-2.0
// Listens in on the beginning of relayed connections, for those who want to know what the server made of
// a client. Stands between a socket and its leg of the relay and steps aside as soon as that is known.
import type { Client } from "../core/client.ts";
import type { Recording, ServerVerdict } from "../core/learn/recording.ts";
import { stayMs, Witness } from "../core/learn/witness.ts";
import { type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";

export interface Overheard {
  readonly client: Client;
  /** False for what only a dry run relays. */
  readonly isExpected: boolean;
  readonly recording: Recording;
  /** The server said something before it had a byte of the client. */
  readonly spokeFirst: boolean;
  /** When the server answered, by the gate's clock. */
  readonly answeredMs: number | undefined;
}

/** All the connections that are listened in on. */
export class Overhearing {
  readonly #nowMs: () => number;
  readonly #heard: (overheard: Overheard) => void;
  /** Servers that answered and may yet hang up, in the order of their answers. */
  readonly #staying = new Set<Listener>();

  /** @param heard called once for each connection, when nothing more is to be learned from it. */
  constructor(nowMs: () => number, heard: (overheard: Overheard) => void) {
    this.#nowMs = nowMs;
    this.#heard = heard;
  }

  /** @param atMs when the client came, milliseconds since 1970. */
  listen(client: Client, isExpected: boolean, atMs: number): Listener {
    return new Listener(client, isExpected, atMs, this);
  }

  /** To be called every second or so. */
  tick(): void {
    const nowMs = this.#nowMs();
    for (const listener of this.#staying) if (!listener.hasStayed(nowMs)) return;
  }

  nowMs(): number {
    return this.#nowMs();
  }

  answered(listener: Listener): void {
    this.#staying.add(listener);
  }

  done(listener: Listener, overheard: Overheard): void {
    this.#staying.delete(listener);
    this.#heard(overheard);
  }
}

/** One connection. */
export class Listener {
  readonly #client: Client;
  readonly #isExpected: boolean;
  readonly #owner: Overhearing;
  readonly #witness: Witness;
  readonly #clientEar: Ear;
  readonly #serverEar: Ear;
  #isSettled = false;
  #verdict: ServerVerdict = "unknown";

  constructor(client: Client, isExpected: boolean, atMs: number, owner: Overhearing) {
    this.#client = client;
    this.#isExpected = isExpected;
    this.#owner = owner;
    this.#witness = new Witness(atMs);
    this.#clientEar = new Ear(this, {
      data: (bytes) => this.#sent(bytes),
      end: () => this.#witness.clientEnded(),
      // A reset, which may be ours.
      close: () => "unknown",
    });
    this.#serverEar = new Ear(this, {
      data: () => this.#answered(),
      end: () => this.#witness.serverEnded(),
      close: () => this.#witness.serverEnded(),
    });
  }

  /** Who hears the server in place of `inner`, from before its connection stands. */
  serverEvents(inner: SocketEvents): SocketEvents {
    this.#serverEar.inner = inner;
    return this.#serverEar;
  }

  /**
   * Both connections stand; to be called right before the relay starts.
   * @param held what the client sent until now.
   */
  start(server: TcpSocket, held: readonly Uint8Array[], clientEnded: boolean): void {
    this.#serverEar.socket = server;
    for (const bytes of held) this.#witness.sent(bytes);
    if (clientEnded) this.#witness.clientEnded();
  }

  /** The relay has taken the client's events. */
  join(client: TcpSocket): void {
    if (this.#isSettled) return;
    this.#clientEar.inner = client.events;
    this.#clientEar.socket = client;
    client.events = this.#clientEar;
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
    this.#clientEar.stepAside();
    this.#serverEar.stepAside();
    const { spokeFirst, answeredMs } = this.#witness;
    this.#owner.done(this, {
      ...{ client: this.#client, isExpected: this.#isExpected, spokeFirst, answeredMs },
      recording: this.#witness.recording(this.#verdict),
    });
  }

  #sent(bytes: Uint8Array): undefined {
    this.#witness.sent(bytes);
  }

  #answered(): ServerVerdict | undefined {
    const isFirst = this.#witness.answeredMs === undefined;
    const verdict = this.#witness.answered(this.#owner.nowMs());
    if (verdict === undefined && isFirst) this.#owner.answered(this);
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
class Ear implements SocketEvents {
  inner: SocketEvents = silentEvents;
  socket: TcpSocket | undefined;
  readonly #listener: Listener;
  readonly #notes: Notes;

  constructor(listener: Listener, notes: Notes) {
    this.#listener = listener;
    this.#notes = notes;
  }

  data(bytes: Uint8Array): void {
    const isOver = this.#listener.settle(this.#notes.data(bytes));
    this.inner.data(bytes);
    if (isOver) this.#listener.report();
  }

  drain(): void {
    this.inner.drain();
  }

  end(): void {
    const isOver = this.#listener.settle(this.#notes.end());
    this.inner.end();
    if (isOver) this.#listener.report();
  }

  close(error: Error | undefined): void {
    const isOver = this.#listener.settle(this.#notes.close());
    this.inner.close(error);
    if (isOver) this.#listener.report();
  }

  stepAside(): void {
    if (this.socket?.events === this) this.socket.events = this.inner;
  }
}
