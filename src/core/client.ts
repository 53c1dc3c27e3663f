// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a connection, and what a ban of it covers: the IPv4 address, or the IPv6
// network of the ban prefix, since a single IPv6 customer commands a whole /64 (RFC 6177).
import { isIpv4, type Prefix, type PrefixKey, prefixFromWords, requirePrefix, sameHead, unzoned } from "./address.ts";
import type { Endpoint } from "./proxy_protocol/header.ts";

const mapped = "::ffff:";

/** A trusted proxy that the connection came through (--accept-proxy). */
export interface Through {
  /** The proxy's address: the packets are its own. */
  readonly proxy: string;
  /** Where the client connected to, as the proxy says. */
  readonly destination: Endpoint;
}

/** One for each connection, so what only a ban needs is worked out for a ban only. */
export class Client {
  readonly port: number;
  /** Canonical text of `source`: the key in the table of bans. */
  readonly sourceText: string;
  /** Undefined: it came directly. */
  readonly through: Through | undefined;
  #single: Prefix | undefined;

  /** @param address as a runtime prints a peer: `192.0.2.1`, `::ffff:192.0.2.1`, `fe80::1%eth0`. */
  constructor(address: string, port: number, ipv6Bits: number, through?: Through) {
    const dotted = address.startsWith(mapped) && address.includes(".") ? address.slice(mapped.length) : address;
    this.port = port;
    this.through = through;
    if (dotted.includes(":")) {
      this.#single = requirePrefix(unzoned(dotted));
      this.sourceText = sourceOf(this.#single, ipv6Bits).text;
    } else {
      this.sourceText = dotted;
    }
  }

  /** The client's own address. */
  single(): Prefix {
    this.#single ??= requirePrefix(this.sourceText);
    return this.#single;
  }

  /** What a ban covers. */
  source(): Prefix {
    const single = this.single();
    return isIpv4(single) ? single : requirePrefix(this.sourceText);
  }
}

/** The source that a single address belongs to. */
export function sourceOf(single: Prefix, ipv6Bits: number): Prefix {
  return isIpv4(single) ? single : prefixFromWords(single.words, sourceBits(single, ipv6Bits));
}

/**
 * Networks in which strangers to one another share a /64, each with an IPv4 address in the lower half: behind NAT64
 * (RFC 6052, RFC 8215) all of IPv4, by Teredo (RFC 4380) all clients of a server. `bpf/gate.h` has them too.
 */
const shared: readonly Prefix[] = ["64:ff9b::/47", "2001::/32"].map(requirePrefix);

/** How long the prefix of a source is: the whole address where a network would be many customers. */
export function sourceBits(prefix: Prefix, ipv6Bits: number): number {
  return isIpv4(prefix) || isShared(prefix) ? 128 : ipv6Bits;
}

/** Of an IPv6 prefix, whether it is inside of one of these networks. */
export function isShared({ words, bits }: PrefixKey): boolean {
  return shared.some((network) => bits >= network.bits && sameHead(network.words, words, network.bits));
}
