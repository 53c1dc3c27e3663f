// SPDX-License-Identifier: Apache-2.0
// Listens to both sides of a relayed connection during a trial until it is known whether they carry on with each
// other, and is gone then.
import { Turns } from "../core/trial/turns.ts";
import type { SocketEvents, TcpSocket } from "../runtime/types.ts";

/** @param isProven called once, when both have carried on for long. */
export function followConversation(
  client: TcpSocket,
  server: TcpSocket,
  nowMs: () => number,
  isProven: () => void,
): void {
  const turns = new Turns();
  // What it was let in with.
  turns.clientSpoke();
  const clientSide = new Side(client, () => turns.clientSpoke());
  const serverSide = new Side(server, () => {
    if (!turns.serverSpoke(nowMs())) return;
    clientSide.remove();
    serverSide.remove();
    isProven();
  });
}

class Side implements SocketEvents {
  readonly #socket: TcpSocket;
  readonly #inner: SocketEvents;
  readonly #spoke: () => void;
  #isRemoved = false;

  constructor(socket: TcpSocket, spoke: () => void) {
    this.#socket = socket;
    this.#inner = socket.events;
    this.#spoke = spoke;
    socket.events = this;
  }

  data(bytes: Uint8Array, from: TcpSocket): void {
    if (!this.#isRemoved) this.#spoke();
    this.#inner.data(bytes, from);
  }

  drain(to: TcpSocket): void {
    this.#inner.drain(to);
  }

  end(from: TcpSocket): void {
    this.#inner.end(from);
  }

  close(error: Error | undefined, socket: TcpSocket): void {
    this.#inner.close(error, socket);
  }

  remove(): void {
    this.#isRemoved = true;
    if (this.#socket.events === this) this.#socket.events = this.#inner;
  }
}
