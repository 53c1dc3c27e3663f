// SPDX-License-Identifier: Apache-2.0
// IP addresses and prefixes in one canonical form. `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 2.5.5.2);
// text is that of RFC 5952. Knows nothing of sockets.
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** The bits before an IPv4 address in its IPv4-mapped IPv6 form. */
const mappedBits = 96;
const mappedHead = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** A range of addresses with a common head; a single address is a prefix of full length. */
export interface Prefix {
  /** 16 bytes of the caller's own, IPv4 as IPv4-mapped IPv6, everything beyond `bits` zero. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** 0-128; an IPv4 /24 is 120. */
  readonly bits: number;
  /** `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/64`: the name in tables, logs and commands. */
  readonly text: string;
  /** IPv6 otherwise. */
  readonly ipv4: boolean;
}

/** A million bans are held by their text alone: bytes are made from it when they are wanted. */
class TextPrefix implements Prefix {
  readonly text: string;
  readonly bits: number;
  readonly ipv4: boolean;

  constructor(text: string, bits: number, ipv4: boolean) {
    this.text = text;
    this.bits = bits;
    this.ipv4 = ipv4;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    const slash = this.text.indexOf("/");
    const bytes = addressBytes(slash < 0 ? this.text : this.text.slice(0, slash));
    if (bytes === undefined) throw new Error(`Not canonical: "${this.text}"`);
    return bytes;
  }
}

/** @param bits prefix length in the 128-bit form; 96 and more with an IPv4-mapped head is IPv4. */
export function prefixFromBytes(address: Uint8Array, bits = 128): Prefix {
  const text = textOf(address, bits);
  return new TextPrefix(text, bits, !text.includes(":"));
}

/**
 * Parses `ADDR` or `ADDR/BITS`; host bits beyond the prefix are cleared. A link-local address may name its interface,
 * `fe80::1%eth0`, which is left out: whoever is banned is banned on all of them.
 * @returns undefined when the text is neither.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0 && ipv4Number(text) >= 0) return new TextPrefix(text, 128, true);
  const address = slash < 0 ? text : text.slice(0, slash);
  const bytes = addressBytes(address);
  if (bytes === undefined) return undefined;
  if (slash < 0) return prefixFromBytes(bytes);
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const bits = Number(lengthText) + (address.includes(":") ? 0 : mappedBits);
  return bits > 128 ? undefined : prefixFromBytes(bytes, bits);
}

/** @throws Error when the text is no address or prefix: for text that was checked before. */
export function requirePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`Not an IP address or prefix: "${text}"`);
  return prefix;
}

export function isIpv4(prefix: Prefix): boolean {
  return prefix.ipv4;
}

/** An IPv6 prefix contains no IPv4: where IPv4 lies among the IPv6 addresses is a matter of storage. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  const family = isIpv4(outer) === isIpv4(inner);
  return family && inner.bits >= outer.bits && sameHead(outer.bytes, inner.bytes, outer.bits);
}

/** So many bits of an address a number holds exactly. */
const headBits = 53;

/**
 * The first bits of an address as a number in its order, IPv4 below zero and so before all IPv6. Made from the
 * text: bytes for each of a hundred thousand would wake the garbage collector.
 */
export function addressHead({ text, ipv4 }: Prefix): number {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  if (ipv4) return ipv4Number(address) - 2 ** 32;
  const [front = "", back] = address.split("::").map((part) => (part === "" ? [] : part.split(":")));
  const groups =
    back === undefined ? [...front] : [...front, ...new Array(8 - front.length - back.length).fill("0"), ...back];
  const [first = 0, second = 0, third = 0, fourth = 0] = groups.slice(0, 4).map((group) => Number.parseInt(group, 16));
  return first * 2 ** 37 + second * 2 ** 21 + third * 2 ** 5 + (fourth >>> 11);
}

/** False when it is certain by their heads that one does not contain the other; true: ask `contains`. */
export function headsAgree(a: Prefix, aHead: number, b: Prefix): boolean {
  if (a.ipv4 !== b.ipv4) return false;
  const bits = Math.min(a.bits, b.bits) - (a.ipv4 ? mappedBits : 0);
  const dropped = 2 ** Math.max(0, (a.ipv4 ? 32 : headBits) - bits);
  return Math.floor(aHead / dropped) === Math.floor(addressHead(b) / dropped);
}

/** An IPv6 prefix that the place of IPv4 lies in: for who looks at 128 bits alone it covers both. */
export function coversBoth(prefix: Prefix): boolean {
  return prefix.bits < mappedBits && sameHead(prefix.bytes, Uint8Array.from(mappedHead), prefix.bits);
}

/** The range of a length around a prefix; undefined where IPv4 has none so wide. */
export function widened(prefix: Prefix, bits: number): Prefix | undefined {
  return isIpv4(prefix) && bits < mappedBits ? undefined : prefixFromBytes(prefix.bytes, bits);
}

/** An address as a runtime prints it, without its zone: `fe80::1` of `fe80::1%eth0` (RFC 4007 11). */
export function unzoned(address: string): string {
  return address.replace(/%.*$/, "");
}

/** Whether two addresses of 16 bytes agree in their first bits. */
export function sameHead(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let index = 0; index < whole; index++) if (a[index] !== b[index]) return false;
  const rest = bits & 7;
  return rest === 0 || (((a[whole] ?? 0) ^ (b[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0;
}

/** `address:port`, IPv6 in brackets (RFC 5952 section 6). */
export function formatEndpoint(endpoint: { readonly address: string; readonly port: number }): string {
  return endpoint.address.includes(":")
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}

function textOf(address: Uint8Array, bits: number): string {
  const masked = Array.from({ length: 16 }, (_, index) => {
    const keep = Math.min(8, Math.max(0, bits - index * 8));
    return (address[index] ?? 0) & (0xff00 >> keep) & 0xff;
  });
  if (bits >= mappedBits && mappedHead.every((value, index) => masked[index] === value)) {
    const dotted = masked.slice(12).join(".");
    return bits === 128 ? dotted : `${dotted}/${bits - mappedBits}`;
  }
  const text = new ipaddr.IPv6(masked).toRFC5952String();
  return bits === 128 ? text : `${text}/${bits}`;
}

function addressBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(16);
  const ipv4 = ipv4Number(text);
  if (ipv4 >= 0) {
    bytes[10] = bytes[11] = 0xff;
    for (let index = 12; index < 16; index++) bytes[index] = ipv4 / 2 ** (8 * (15 - index));
    return bytes;
  }
  if (!isIPv6(text)) return undefined;
  bytes.set(ipaddr.IPv6.parse(hexTail(unzoned(text))).toByteArray());
  const zone = zoneOf(text);
  return zone === undefined || (isLinkLocal(bytes) && zoneName.test(zone)) ? bytes : undefined;
}

/** What Linux takes for an interface's name (dev_valid_name), or its number. */
const zoneName = /^[^\s/:\p{Cc}]{1,15}$/u;

/** fe80::/10 (RFC 4291 2.5.6): the only addresses that mean nothing without an interface. */
function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** The interface that a link-local address needs to be bound or connected; undefined: it has none. */
export function zoneOf(address: string): string | undefined {
  const at = address.indexOf("%");
  return at < 0 ? undefined : address.slice(at + 1);
}

/** A link-local address must name its interface, and no other may. */
export function isZonedRightly(address: string): boolean {
  const bytes = addressBytes(unzoned(address));
  return bytes !== undefined && isLinkLocal(bytes) === (zoneOf(address) !== undefined);
}

/** `::c000:201` of `::192.0.2.1`, which ipaddr.js takes for IPv4-mapped. */
function hexTail(text: string): string {
  const start = text.lastIndexOf(":") + 1;
  const ipv4 = ipv4Number(text.slice(start));
  if (ipv4 < 0) return text;
  return `${text.slice(0, start)}${Math.floor(ipv4 / 65536).toString(16)}:${(ipv4 % 65536).toString(16)}`;
}

const dot = 46;
const zero = 48;

/** Strict dotted decimal without leading zeros, as inet_pton(3) takes it; -1 for anything else. */
function ipv4Number(text: string): number {
  let address = 0;
  let octet = -1;
  let octets = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index === text.length ? dot : text.charCodeAt(index);
    if (code === dot) {
      if (octet < 0) return -1;
      address = address * 256 + octet;
      octets++;
      octet = -1;
      continue;
    }
    const digit = code - zero;
    if (digit < 0 || digit > 9 || octet === 0) return -1;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return -1;
  }
  return octets === 4 ? address : -1;
}

/** A name but `localhost` is none, whatever it begins with. */
export function isLoopback(host: string): boolean {
  const address = parsePrefix(host);
  return host === "localhost" || address?.text === "::1" || address?.text.startsWith("127.") === true;
}

/** Every address of the host, as `::` takes IPv4 too. */
export function isWildcard(host: string): boolean {
  const address = parsePrefix(host)?.text;
  return address === "::" || address === "0.0.0.0";
}
