// SPDX-License-Identifier: Apache-2.0
// IP addresses and prefixes in one canonical form. `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 2.5.5.2);
// text is that of RFC 5952. Knows nothing of sockets.
import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** The bits of an IPv4 address's place in an IPv4-mapped IPv6 address. */
const mappedBits = 96;
const mappedHead = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** A range of addresses with a common head; a single address is a prefix of full length. */
export interface Prefix {
  /** 16 bytes, IPv4 as IPv4-mapped IPv6, everything beyond `bits` zero. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** 0-128; an IPv4 /24 is 120. */
  readonly bits: number;
  /** `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/64`: the name in tables, logs and commands. */
  readonly text: string;
}

/** @param bits prefix length in the 128-bit form; 96 and more with an IPv4-mapped head is IPv4. */
export function prefixFromBytes(address: Uint8Array, bits = 128): Prefix {
  const bytes = new Uint8Array(new ArrayBuffer(16));
  bytes.set(address.subarray(0, 16));
  for (let index = bits >> 3; index < 16; index++) {
    const keep = Math.max(0, bits - index * 8);
    bytes[index] = (bytes[index] ?? 0) & (0xff00 >> keep);
  }
  return { bytes, bits, text: textOf(bytes, bits) };
}

function textOf(bytes: Uint8Array, bits: number): string {
  if (bits >= mappedBits && mappedHead.every((value, index) => bytes[index] === value)) {
    const address = bytes.subarray(12).join(".");
    return bits === 128 ? address : `${address}/${bits - mappedBits}`;
  }
  const address = new ipaddr.IPv6([...bytes]).toRFC5952String();
  return bits === 128 ? address : `${address}/${bits}`;
}

/**
 * Parses `ADDR` or `ADDR/BITS`; host bits beyond the prefix are cleared.
 * @returns undefined when the text is neither.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  const address = addressBytes(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  if (slash < 0) return prefixFromBytes(address.bytes);
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const bits = Number(lengthText) + (address.dotted ? mappedBits : 0);
  return bits > 128 ? undefined : prefixFromBytes(address.bytes, bits);
}

function addressBytes(text: string): { bytes: Uint8Array; dotted: boolean } | undefined {
  if (isIPv4(text)) return { bytes: Uint8Array.from([...mappedHead, ...text.split(".").map(Number)]), dotted: true };
  const unzoned = text.replace(/%.*$/, "");
  if (!isIPv6(unzoned)) return undefined;
  return { bytes: Uint8Array.from(ipaddr.IPv6.parse(unzoned).toByteArray()), dotted: false };
}

/** @throws Error when the text is no address or prefix: for text that was checked before. */
export function requirePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`Not an IP address or prefix: "${text}"`);
  return prefix;
}

export function isIpv4(prefix: Prefix): boolean {
  return prefix.bits >= mappedBits && mappedHead.every((value, index) => prefix.bytes[index] === value);
}

export function contains(outer: Prefix, inner: Prefix): boolean {
  return inner.bits >= outer.bits && prefixFromBytes(inner.bytes, outer.bits).text === outer.text;
}

/** `address:port`, IPv6 in brackets (RFC 5952 section 6). */
export function formatEndpoint(endpoint: { readonly address: string; readonly port: number }): string {
  return endpoint.address.includes(":")
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}
