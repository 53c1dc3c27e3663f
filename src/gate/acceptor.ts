// SPDX-License-Identifier: Apache-2.0
// What happens to a connection in the moment it is accepted: time-out table, limits, then a session.

import { Client } from "../core/client.ts";
import { type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";
import type { ConnectionRate } from "./connection_rate.ts";
import type { Room } from "./room.ts";
import { Session, type SessionContext } from "./session.ts";

export interface AcceptorContext extends SessionContext {
  readonly ipv6Bits: number;
  readonly room: Room;
  /** 0: no limit. */
  readonly maxConnectionsPerSource: number;
  readonly rate: ConnectionRate;
  /** Called when a source ran into a limit of its own. */
  readonly exceeded: ((client: Client, port: number) => void) | undefined;
  /** Called with each connection of a banned source that is refused. */
  readonly refused: ((client: Client) => void) | undefined;
}

export function acceptor(context: AcceptorContext): (socket: TcpSocket) => SocketEvents {
  const { counters, sessions } = context;
  return (socket) => {
    const { address, port } = socket.remote;
    counters.accepted++;
    if (address === "") {
      counters.undecided++;
      socket.reset();
      return silentEvents;
    }
    const client = new Client(address, port, context.ipv6Bits);
    const isRefused = context.desk.refuses(client);
    if (isRefused) counters.refusedBanned++;
    if (isRefused && !context.dryRun) {
      context.refused?.(client);
      context.reject(socket, client);
      return silentEvents;
    }
    const limit = limitReached(context, client);
    if (limit !== undefined) {
      counters[limit]++;
      if (context.isProven(socket)) context.exceeded?.(client, socket.local.port);
      socket.reset();
      return silentEvents;
    }
    if (!hasRoom(context)) {
      counters.refusedFull++;
      counters.refusedNoRoom++;
      context.room.turnedAway(context.nowMs());
      socket.reset();
      return silentEvents;
    }
    return new Session(context, socket, client, isRefused);
  };

  /** Of the source: so many at a time (--max-per-source), or so fast (--max-rate). */
  function limitReached(
    { maxConnectionsPerSource, rate, nowMs }: AcceptorContext,
    { sourceText }: Client,
  ): "refusedFull" | "refusedRate" | undefined {
    if (maxConnectionsPerSource > 0 && sessions.ofSource(sourceText) >= maxConnectionsPerSource) return "refusedFull";
    return rate.admits(sourceText, nowMs()) ? undefined : "refusedRate";
  }

  function hasRoom({ room }: AcceptorContext): boolean {
    if (sessions.size < room.limit) return true;
    sessions.toMakeRoom()?.deadline();
    // It may have said enough to be relayed: then nothing became free.
    return sessions.size < room.limit;
  }
}
