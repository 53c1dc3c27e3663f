// SPDX-License-Identifier: Apache-2.0
// What happens to a connection in the moment it is accepted: time-out table, limits, then a session.

import { Client } from "../core/client.ts";
import { type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";
import type { Room } from "./room.ts";
import { Session, type SessionContext } from "./session.ts";

export interface AcceptorContext extends SessionContext {
  readonly ipv6Bits: number;
  readonly room: Room;
  /** 0: no limit. */
  readonly maxConnectionsPerSource: number;
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
    const isGreedy = hasItsPlaces(context, client);
    if (isGreedy || !hasRoom(context)) {
      counters.refusedFull++;
      if (!isGreedy) {
        counters.refusedNoRoom++;
        context.room.turnedAway(context.nowMs());
      }
      socket.reset();
      return silentEvents;
    }
    return new Session(context, socket, client, isRefused);
  };

  /** As many as one source may have (--max-per-source). */
  function hasItsPlaces({ maxConnectionsPerSource }: AcceptorContext, client: Client): boolean {
    return maxConnectionsPerSource > 0 && sessions.ofSource(client.sourceText) >= maxConnectionsPerSource;
  }

  function hasRoom({ room }: AcceptorContext): boolean {
    if (sessions.size < room.limit) return true;
    sessions.oldestUndecided()?.deadline();
    // It may have said enough to be relayed: then nothing became free.
    return sessions.size < room.limit;
  }
}
