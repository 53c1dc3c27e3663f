// SPDX-License-Identifier: Apache-2.0
// By which names the status endpoint answers. A page of another site that has its own name resolve to this
// host (DNS rebinding) could read everything otherwise: its browser takes both for the same site.
import { isLoopback, isWildcard, parsePrefix } from "../core/address.ts";

export interface HostNames {
  /** Where the endpoint listens: a name or an IP address. */
  readonly bound: string;
  /** The addresses of this host; asked where the endpoint listens on all of them. */
  ownAddresses(): readonly string[];
  /** Names and addresses beyond those (--status-host), as they are configured now. */
  allowed(): readonly string[];
}

/** A name, an IPv4 address or an IPv6 address in brackets, with or without a port (RFC 9110 7.2). */
const authority = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{0,5})?$/i;

/** @returns the name that a request asks for in vain, as it was written; undefined when it may be answered. */
export function strangeHost(request: Request, names: HostNames): string | undefined {
  // Without one (HTTP/1.0) it is no browser.
  const written = request.headers.get("host");
  if (written === null) return undefined;
  // Of an absolute-form target Deno tells both, Bun the header alone; they are the same in a proper request.
  const asked = URL.canParse(request.url) ? [written, new URL(request.url).host] : [written];
  return asked.find((host) => !isKnown(host, names));
}

/** The port may be another one: of a tunnel, or of a container's outside. */
function isKnown(host: string, names: HostNames): boolean {
  const [, bracketed, plain] = authority.exec(host) ?? [];
  const name = bracketed ?? plain;
  if (name === undefined) return false;
  if (isLoopback(canonical(name))) return true;
  const listed = isWildcard(names.bound) ? names.ownAddresses() : [names.bound];
  return [...listed, ...names.allowed()].some((known) => canonical(known) === canonical(name));
}

/** One spelling for each address; names in lower case and without the dot of the root. */
function canonical(name: string): string {
  return parsePrefix(name)?.text ?? name.toLowerCase().replace(/\.$/, "");
}
