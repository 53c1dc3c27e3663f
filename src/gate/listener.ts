// SPDX-License-Identifier: Apache-2.0
// The port that clients connect to.
import type { HostPort } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import { type Listener, type ListenOptions, type Runtime, silentEvents } from "../runtime/types.ts";
import { cannotListen } from "./listen_error.ts";

/** @throws Failure when the port cannot be had. */
export async function openListener(
  runtime: Runtime,
  { host, port }: HostPort,
  accept: ListenOptions["accept"],
): Promise<Listener> {
  try {
    return await runtime.listen({ host, port, accept });
  } catch (error) {
    throw cannotListen("--listen", formatEndpoint({ address: host, port }), error);
  }
}

/**
 * Before anything is changed in the kernel: where another gate has the port, its block must go on.
 * @throws Failure when the port cannot be had.
 */
export async function requireFree(runtime: Runtime, address: HostPort): Promise<void> {
  const listener = await openListener(runtime, address, (socket) => {
    socket.reset();
    return silentEvents;
  });
  listener.close();
}
