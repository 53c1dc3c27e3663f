// SPDX-License-Identifier: Apache-2.0
// Where CrowdSec's local API (LAPI) is, as people write it: a URL, or a unix socket.

import { isLoopback } from "../core/address.ts";
import { type HostPort, parseSocketPath } from "./endpoints.ts";

export interface CrowdsecAddress {
  readonly tls: boolean;
  /** Undefined with a unix socket. */
  readonly server: HostPort | undefined;
  readonly socket: string | undefined;
  /** What stands in front of "/v1", without a slash at its end. */
  readonly path: string;
  readonly text: string;
}

export const crowdsecAddressForms =
  "http://HOST:PORT, https://HOST:PORT or unix:/PATH, without a name and a password, such as http://127.0.0.1:8080";

export function parseCrowdsecAddress(given: string): CrowdsecAddress | undefined {
  const socket = parseSocketPath(given);
  if (socket !== undefined) {
    return { tls: false, server: undefined, socket, path: "", text: given };
  }
  if (!/^https?:\/\/[^/]/.test(given) || !URL.canParse(given)) return undefined;
  const { protocol, hostname, port, pathname, search, hash, username, password } = new URL(given);
  if ([search, hash, username, password].some((part) => part !== "")) return undefined;
  const tls = protocol === "https:";
  const path = pathname.replace(/\/+$/, "");
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const server = { host, port: port === "" ? (tls ? 443 : 80) : Number(port) };
  return { tls, server, socket: undefined, path, text: given.replace(/\/+$/, "") };
}

/** Nobody else's network lies in between. */
export function isLocalApi({ server }: CrowdsecAddress): boolean {
  return server === undefined || server.host === "localhost" || isLoopback(server.host);
}
