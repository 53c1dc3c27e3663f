// SPDX-License-Identifier: Apache-2.0
// A relay on Bun's sockets that judges, limits, counts and logs nothing: what a connection costs in the runtime alone.
//   bare_relay.ts PORT UPSTREAM_PORT
import process from "node:process";

/** What hangs on a socket. */
interface End {
  /** Undefined until it stands. */
  other: Bun.Socket<End> | undefined;
  /** What the kernel did not take yet, or what came before there was another side. */
  waiting: Uint8Array[];
  hasEnded: boolean;
}

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const hostname = "127.0.0.1";

function send(from: Bun.Socket<End>, to: Bun.Socket<End>, bytes: Uint8Array): void {
  const sent = to.data.waiting.length > 0 ? 0 : Math.max(0, to.write(bytes));
  if (sent === bytes.length) return;
  to.data.waiting.push(bytes.subarray(sent));
  from.pause();
}

function finish(socket: Bun.Socket<End>): void {
  if (socket.data.hasEnded) socket.close();
  else socket.shutdown();
}

const handlers: Bun.SocketHandler<End> = {
  data(socket, bytes) {
    const { other, waiting } = socket.data;
    if (other === undefined) waiting.push(bytes);
    else send(socket, other, bytes);
  },
  drain(socket) {
    const { other, waiting } = socket.data;
    for (let bytes = waiting[0]; bytes !== undefined; bytes = waiting[0]) {
      const sent = Math.max(0, socket.write(bytes));
      if (sent < bytes.length) {
        waiting[0] = bytes.subarray(sent);
        return;
      }
      waiting.shift();
    }
    if (other?.data.hasEnded) finish(socket);
    else other?.resume();
  },
  end(socket) {
    const { data } = socket;
    data.hasEnded = true;
    if (data.other?.data.waiting.length === 0) finish(data.other);
  },
  close(socket, error) {
    const { data } = socket;
    const { other } = data;
    // Bun tells of a FIN that follows our own by this alone.
    data.hasEnded = true;
    if (other === undefined) data.waiting = [];
    else if (error !== undefined || !other.data.hasEnded) other.terminate();
    else if (other.data.waiting.length === 0) finish(other);
  },
  error() {},
};

const upstreamHandlers: Bun.SocketHandler<End> = {
  ...handlers,
  open(server) {
    const client = server.data.other;
    if (client === undefined) return server.close();
    const early = client.data.waiting.splice(0);
    client.data.other = server;
    for (const bytes of early) send(client, server, bytes);
    if (client.data.hasEnded && server.data.waiting.length === 0) server.shutdown();
  },
  connectError(server) {
    server.data.other?.terminate();
  },
};

Bun.listen<End>({
  hostname,
  port: port ?? 0,
  allowHalfOpen: true,
  socket: {
    ...handlers,
    open(client) {
      client.data = { other: undefined, waiting: [], hasEnded: false };
      const data: End = { other: client, waiting: [], hasEnded: false };
      void Bun.connect({ hostname, port: upstreamPort ?? 0, allowHalfOpen: true, data, socket: upstreamHandlers });
    },
  },
});
