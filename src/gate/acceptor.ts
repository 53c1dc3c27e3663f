// SPDX-License-Identifier: Apache-2.0
// What happens to a connection in the moment it is accepted: table of bans, limits, then a session. One of a
// trusted proxy says first whose it is.

import { contains, type Prefix } from "../core/address.ts";
import { Client } from "../core/client.ts";
import { type SocketEvents, silentEvents, type TcpSocket } from "../runtime/types.ts";
import type { ConnectionRate } from "./connection_rate.ts";
import { Proxied, type ProxiedOwner } from "./proxied.ts";
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
  /** Whose connections begin with a PROXY protocol header. */
  readonly acceptProxy: readonly Prefix[];
  /** Called with each connection of a banned source that is refused. */
  readonly refused: ((client: Client) => void) | undefined;
  /** A proxy sent something else than its header. */
  headerMissing(proxy: string, reason: string): void;
}

export function acceptor(context: AcceptorContext): (socket: TcpSocket) => SocketEvents {
  const { counters, sessions } = context;
  const owner: ProxiedOwner = {
    sessions,
    ipv6Bits: context.ipv6Bits,
    identified: take,
    headerMissing(proxy, reason) {
      counters.withoutHeader++;
      context.headerMissing(proxy, reason);
    },
    saidNothing() {
      counters.undecided++;
    },
  };
  return (socket) => {
    const { address, port } = socket.remote;
    counters.accepted++;
    if (address === "") {
      counters.undecided++;
      socket.reset();
      return silentEvents;
    }
    const client = new Client(address, port, context.ipv6Bits);
    const sinceMs = context.nowMs();
    if (context.acceptProxy.length === 0 || !isProxy(client)) return take(socket, client, sinceMs);
    if (hasRoom(context)) return new Proxied(owner, socket, client, sinceMs, context.firstPacketMs);
    return turnAway(socket);
  };

  function isProxy(client: Client): boolean {
    const single = client.single();
    return context.acceptProxy.some((prefix) => contains(prefix, single));
  }

  /** It is known whose the connection is. */
  function take(socket: TcpSocket, client: Client, sinceMs: number): SocketEvents {
    if (context.desk.refuses(client)) {
      counters.refusedBanned++;
      // Of a proxy's packets the kernel cannot know whose they are.
      if (client.through === undefined) context.refused?.(client);
      context.reject(socket, client);
      return silentEvents;
    }
    const wouldBeRefused = context.desk.wouldRefuse(client);
    if (wouldBeRefused) counters.refusedBanned++;
    const limit = limitReached(context, client);
    if (limit !== undefined) {
      counters[limit]++;
      if (context.isProven(socket)) context.exceeded?.(client, socket.local.port);
      socket.reset();
      return silentEvents;
    }
    return hasRoom(context) ? new Session(context, socket, client, wouldBeRefused, sinceMs) : turnAway(socket);
  }

  function turnAway(socket: TcpSocket): SocketEvents {
    counters.refusedFull++;
    counters.refusedNoRoom++;
    context.room.turnedAway(context.nowMs());
    socket.reset();
    return silentEvents;
  }

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
    const isFree = sessions.size < room.limit;
    if (isFree) counters.madeRoom++;
    return isFree;
  }
}
