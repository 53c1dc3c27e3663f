// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a connection, and what a ban of it covers: the IPv4 address, or the IPv6
// network of the ban prefix, since a single IPv6 customer commands a whole /64 (RFC 6177).
import { isIpv4, type Prefix, prefixFromBytes, requirePrefix } from "./address.ts";

export interface Client {
  readonly port: number;
  /** Canonical text of `source`: the key in the time-out table. */
  readonly sourceText: string;
  /** The client's own address, worked out when it is needed. */
  single(): Prefix;
  /** What a ban covers. */
  source(): Prefix;
}

const mapped = "::ffff:";

/** @param address as a runtime prints a peer: `192.0.2.1`, `::ffff:192.0.2.1`, `fe80::1%eth0`. */
export function clientOf(address: string, port: number, ipv6Bits: number): Client {
  const dotted = address.startsWith(mapped) && address.includes(".") ? address.slice(mapped.length) : address;
  if (!dotted.includes(":")) {
    const single = () => requirePrefix(dotted);
    return { port, sourceText: dotted, single, source: single };
  }
  const single = requirePrefix(dotted);
  const source = sourceOf(single, ipv6Bits);
  return { port, sourceText: source.text, single: () => single, source: () => source };
}

/** The source that a single address belongs to. */
export function sourceOf(single: Prefix, ipv6Bits: number): Prefix {
  return isIpv4(single) ? single : prefixFromBytes(single.bytes, ipv6Bits);
}
