// SPDX-License-Identifier: Apache-2.0
// The port that clients connect to. An address that no interface has yet is waited for; a kernel without IPv6
// is listened to on IPv4.
import type { HostPort } from "../config/endpoints.ts";
import { formatEndpoint, isWildcard } from "../core/address.ts";
import { codeOf } from "../failure.ts";
import { type Listener, type ListenOptions, type Runtime, silentEvents } from "../runtime/types.ts";
import { cannotListen } from "./listen_error.ts";

export type Opened =
  | { readonly kind: "listening"; readonly listener: Listener; readonly host: string }
  /** No interface has the address. */
  | { readonly kind: "waiting" };

/**
 * @param fd a listening socket that came from elsewhere, in place of a new one.
 * @throws Failure when the port cannot be had.
 */
export async function openListener(
  runtime: Runtime,
  { host, port }: HostPort,
  accept: ListenOptions["accept"],
  fd?: number,
): Promise<Opened> {
  try {
    return { kind: "listening", listener: await runtime.listen({ host, port, fd, accept }), host };
  } catch (error) {
    const code = codeOf(error);
    // With ipv6.disable=1 on the kernel's command line there are no IPv6 sockets at all; Bun gives no code then.
    const isUnsupported = code === undefined || code === "EAFNOSUPPORT";
    if (isUnsupported && host !== ipv4Wildcard && isWildcard(host)) {
      return openListener(runtime, { host: ipv4Wildcard, port }, accept);
    }
    // Bun gives no code either where there is no interface of the zone's name.
    const isGone = code === "EADDRNOTAVAIL" || (code === undefined && host.includes("%"));
    if (isGone) return { kind: "waiting" };
    throw cannotListen("--listen", formatEndpoint({ address: host, port }), error);
  }
}

const ipv4Wildcard = "0.0.0.0";

/**
 * Before anything is changed in the kernel: where another gate has the port, its block must go on.
 * @throws Failure when the port cannot be had.
 */
export async function requireFree(runtime: Runtime, address: HostPort): Promise<void> {
  const opened = await openListener(runtime, address, (socket) => {
    socket.reset();
    return silentEvents;
  });
  if (opened.kind === "listening") opened.listener.close();
}
