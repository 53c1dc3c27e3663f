// SPDX-License-Identifier: Apache-2.0
// How connections of banned sources end (--reject): by reset, or without a packet. Silence takes two: the
// socket leaves nothing behind when it closes, and the kernel drops what the source goes on sending,
// since for a connection that it does not know it would answer with a reset. Where one of both is
// missing, as for a source that is spared, the connection is reset. Over an interface that is not guarded
// silence lasts until the source sends something.
import type { Client } from "../core/client.ts";
import type { ConnectionCounters } from "../core/counters.ts";
import { messageOf } from "../failure.ts";
import type { Log } from "../log.ts";
import { type Runtime, silentEvents, type TcpSocket } from "../runtime/types.ts";

/** Makes the socket's close send nothing. @returns why it cannot; undefined when done. */
type Mute = (fd: number) => string | undefined;

const noDescriptor = "the runtime gives no descriptor of the socket";
const needed = "it takes CAP_NET_ADMIN";

export class Rejection {
  readonly #counters: ConnectionCounters;
  readonly #log: Log;
  readonly #blocked: (client: Client) => boolean;
  #mute: Mute | undefined;
  #told = false;

  /** @param blocked whether the kernel drops what the client sends. */
  constructor(counters: ConnectionCounters, log: Log, blocked: (client: Client) => boolean) {
    this.#counters = counters;
    this.#log = log;
    this.#blocked = blocked;
  }

  /** From now on without a packet, which is tried out here. */
  async beSilent(runtime: Runtime): Promise<void> {
    const { openRepair } = await import("../kernel/repair.ts");
    this.#mute = await openRepair(runtime.native);
    const failure = await tryOut(runtime, this.#mute);
    if (failure !== undefined) this.#tell(failure);
  }

  /** From now on with a reset. */
  beLoud(): void {
    this.#mute = undefined;
  }

  end(socket: TcpSocket, client: Client): void {
    if (this.#mute !== undefined && this.#blocked(client)) {
      const failure = mute(socket, this.#mute);
      if (failure === undefined) this.#counters.silenced++;
      else {
        this.#counters.notSilenced++;
        this.#tell(failure);
      }
    }
    socket.reset();
  }

  #tell(failure: string): void {
    if (!this.#told) this.#log("warn", `Cannot end a connection silently: ${failure}; one that cannot be is reset`);
    this.#told = true;
  }
}

function mute(socket: TcpSocket, how: Mute): string | undefined {
  // A call that succeeds has nothing to say either.
  const failure = socket.withDescriptor((fd) => ({ reason: how(fd) }));
  if (failure === undefined) return noDescriptor;
  return failure.reason === undefined ? undefined : `TCP_REPAIR: ${failure.reason}, ${needed}`;
}

/** On a connection of this process with itself. @returns why it does not work. */
async function tryOut(runtime: Runtime, how: Mute): Promise<string | undefined> {
  let result: string | undefined;
  const accepted = Promise.withResolvers<void>();
  const accept = (socket: TcpSocket) => {
    result = mute(socket, how);
    socket.reset();
    accepted.resolve();
    return silentEvents;
  };
  try {
    const listener = await runtime.listen({ host: "127.0.0.1", port: 0, accept });
    try {
      const socket = await runtime.connect({ host: "127.0.0.1", port: listener.local.port }, silentEvents);
      await accepted.promise;
      socket.reset();
    } finally {
      listener.close();
    }
  } catch (error) {
    return `not tried out on loopback: ${messageOf(error)}`;
  }
  return result;
}
