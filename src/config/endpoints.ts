// SPDX-License-Identifier: Apache-2.0
// Where something listens or is connected to, as people write it: ports, names, addresses, unix sockets.
import { isIP } from "node:net";
import { formatEndpoint, isZonedRightly } from "../core/address.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where a server is: a TCP port, or a unix socket. */
export type ServerAddress = HostPort | { readonly path: string };

export type StatusAddress =
  | { readonly kind: "off" }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

function portOf(given: string): number | undefined {
  const port = /^\d{1,5}$/.test(given) ? Number(given) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

/** `HOST:PORT` with IPv6 in brackets, a link-local address with its zone; a name of letters, digits, hyphens and underscores (RFC 1123, RFC 2782). */
export function parseHostPort(given: string): HostPort | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([\w.-]{1,253})):(\d+)$/.exec(given) ?? [];
  const host = bracketed ?? plain;
  const port = portOf(portText ?? "");
  if (host === undefined || port === undefined) return undefined;
  if (bracketed !== undefined && (isIP(bracketed) !== 6 || !isZonedRightly(bracketed))) return undefined;
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) return undefined;
  return { host, port };
}

/** What the kernel takes as a socket's path: sun_path of unix(7) without the NUL at its end. */
const longestSocketPath = 107;

/** `unix:/PATH`. */
export function parseSocketPath(given: string): string | undefined {
  const [, path] = /^unix:(\/[^\0]+)$/.exec(given) ?? [];
  return path !== undefined && new TextEncoder().encode(path).length <= longestSocketPath ? path : undefined;
}

export function parseServer(given: string): ServerAddress | undefined {
  const path = parseSocketPath(given);
  return path === undefined ? parseHostPort(given) : { path };
}

export function formatServer(server: ServerAddress): string {
  return "path" in server ? `unix:${server.path}` : formatEndpoint({ address: server.host, port: server.port });
}

/** As a browser writes it into its Host header, without a port. */
export function parseHostName(given: string): string | undefined {
  const bare = /^\[(.*)\]$/.exec(given)?.[1] ?? given;
  return isIP(bare) > 0 || /^(?=.*[A-Za-z_-])[\w.-]{1,253}$/.test(bare) ? bare : undefined;
}

export function parseListen(given: string): HostPort | undefined {
  const port = portOf(given);
  if (port !== undefined) return { host: "::", port };
  const parsed = parseHostPort(given);
  if (parsed?.host === "localhost") return { host: "127.0.0.1", port: parsed.port };
  return parsed !== undefined && isIP(parsed.host) > 0 ? parsed : undefined;
}

export function parseStatus(given: string): StatusAddress | undefined {
  if (given === "off") return { kind: "off" };
  const path = parseSocketPath(given);
  if (path !== undefined) return { kind: "unix", path };
  const parsed = parseHostPort(given);
  return parsed === undefined ? undefined : { kind: "tcp", ...parsed };
}

export function formatStatus(address: StatusAddress): string {
  switch (address.kind) {
    case "off":
      return "off";
    case "unix":
      return `unix:${address.path}`;
    case "tcp":
      return formatEndpoint({ address: address.host, port: address.port });
    default:
      return address satisfies never;
  }
}
