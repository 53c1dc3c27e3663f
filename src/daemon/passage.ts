// SPDX-License-Identifier: Apache-2.0
// Connections of a socket that another process made, passed on to a unix socket: no HTTP server here can be given a
// descriptor (Bun.serve ignores it and takes a port of its own).
import { Relay } from "../gate/relay.ts";
import { type Runtime, type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";

export interface Passage {
  readonly descriptor: number;
  dropConnections(): void;
  /** Connections that are open end with the server behind. */
  close(): void;
}

class Passed extends Relay {
  readonly #over: () => void;

  constructor(client: TcpSocket, over: () => void) {
    super(client);
    this.#over = over;
  }

  protected ended(): void {
    this.#over();
  }
}

export async function passOn(runtime: Runtime, descriptor: number, unixPath: string): Promise<Passage> {
  const open = new Set<TcpSocket>();
  const accept = (socket: TcpSocket): SocketEvents => {
    let isOver = false;
    socket.pause();
    open.add(socket);
    const relay = new Passed(socket, () => void open.delete(socket));
    runtime.connect({ path: unixPath }, relay).then(
      (server) => {
        if (isOver) return server.close();
        relay.start(socket, server, [], false);
        socket.resume();
      },
      () => socket.reset(),
    );
    return {
      ...silentEvents,
      close() {
        isOver = true;
        open.delete(socket);
      },
    };
  };
  const listener = await runtime.listen({ host: "", port: 0, fd: descriptor, accept });
  const dropConnections = () => {
    for (const socket of open) socket.reset();
  };
  return { descriptor, dropConnections, close: () => listener.close() };
}
