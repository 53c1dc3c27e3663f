// SPDX-License-Identifier: Apache-2.0
// IP addresses and prefixes in one canonical form. `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 2.5.5.2);
// text is that of RFC 5952. Knows nothing of sockets.
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** The bits before an IPv4 address in its IPv4-mapped IPv6 form. */
const mappedBits = 96;
const mappedWord = 0xffff;

/** An address of 128 bits in network byte order, the first word first. */
export type Words = readonly [number, number, number, number];

/** What tells a prefix from all others: what goes through a million of them makes one of these, and fills it again. */
export interface PrefixKey {
  /** IPv4 as IPv4-mapped IPv6, everything beyond `bits` zero. */
  readonly words: Words;
  /** 0-128; an IPv4 /24 is 120. */
  readonly bits: number;
}

/** A range of addresses with a common head; a single address is a prefix of full length. */
export interface Prefix extends PrefixKey {
  /** The address as 16 bytes of the caller's own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/64`: the name in tables, logs and commands. */
  readonly text: string;
  /** IPv6 otherwise. */
  readonly ipv4: boolean;
}

/** Text and bytes are made when they are asked for: a walk through a million bans mostly does without. */
class WordPrefix implements Prefix {
  readonly words: Words;
  readonly bits: number;
  readonly ipv4: boolean;
  #text: string | undefined;

  constructor(words: Words, bits: number, text?: string) {
    this.words = words;
    this.bits = bits;
    this.ipv4 = bits >= mappedBits && isMapped(words);
    this.#text = text;
  }

  get text(): string {
    this.#text ??= textOf(this);
    return this.#text;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(16);
    for (let index = 0; index < 16; index++) bytes[index] = (this.words[index >> 2] ?? 0) >>> (24 - 8 * (index & 3));
    return bytes;
  }
}

/** @param bits prefix length in the 128-bit form; 96 and more with an IPv4-mapped head is IPv4. */
export function prefixFromWords(words: Words, bits = 128): Prefix {
  if (bits === 128) return new WordPrefix(words, bits);
  const kept = (index: 0 | 1 | 2 | 3) => (words[index] & maskOf(bits - 32 * index)) >>> 0;
  return new WordPrefix([kept(0), kept(1), kept(2), kept(3)], bits);
}

/** The same for the same prefix, and no other's: without a text for IPv4 addresses, of which there may be a million. */
export function nameOf(prefix: Prefix): number | string {
  return prefix.ipv4 && prefix.bits === 128 ? prefix.words[3] : prefix.text;
}

export function prefixOf({ words, bits }: PrefixKey): Prefix {
  return prefixFromWords([words[0], words[1], words[2], words[3]], bits);
}

export function prefixFromBytes(address: Uint8Array, bits = 128): Prefix {
  const word = (at: number) =>
    ((address[at] ?? 0) * 2 ** 24 +
      ((address[at + 1] ?? 0) << 16) +
      ((address[at + 2] ?? 0) << 8) +
      (address[at + 3] ?? 0)) >>>
    0;
  return prefixFromWords([word(0), word(4), word(8), word(12)], bits);
}

/**
 * Parses `ADDR` or `ADDR/BITS`; host bits beyond the prefix are cleared. A link-local address may name its interface,
 * `fe80::1%eth0`, which is left out: whoever is banned is banned on all of them.
 * @returns undefined when the text is neither.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  const ipv4 = slash < 0 ? ipv4Number(text) : -1;
  if (ipv4 >= 0) return new WordPrefix([0, 0, mappedWord, ipv4], 128, text);
  const address = slash < 0 ? text : text.slice(0, slash);
  const words = addressWords(address);
  if (words === undefined) return undefined;
  if (slash < 0) return prefixFromWords(words);
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const bits = Number(lengthText) + (address.includes(":") ? 0 : mappedBits);
  return bits > 128 ? undefined : prefixFromWords(words, bits);
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
  return outer.ipv4 === inner.ipv4 && inner.bits >= outer.bits && sameHead(outer.words, inner.words, outer.bits);
}

/** Whether one of two prefixes contains the other. */
export function overlap(one: Prefix, other: Prefix): boolean {
  return one.ipv4 === other.ipv4 && sameHead(one.words, other.words, Math.min(one.bits, other.bits));
}

/** The first bits of an address as a number in its order, IPv4 below zero and so before all IPv6. */
export function addressHead({ words: [first, second, , fourth], ipv4 }: Prefix): number {
  // 53 bits: what a number holds exactly.
  return ipv4 ? fourth - 2 ** 32 : first * 2 ** 21 + (second >>> 11);
}

/** By the order of their addresses, IPv4 first; of the same address the wider first. */
export function compareAddresses(a: Prefix, b: Prefix): number {
  if (a.ipv4 !== b.ipv4) return a.ipv4 ? -1 : 1;
  for (let index = 0; index < 4; index++) {
    const difference = (a.words[index] ?? 0) - (b.words[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.bits - b.bits;
}

/** An IPv6 prefix that the place of IPv4 lies in: for who looks at 128 bits alone it covers both. */
export function coversBoth({ words, bits }: Prefix): boolean {
  return bits < mappedBits && sameHead(words, [0, 0, mappedWord, 0], bits);
}

/** The range of a length around a prefix; undefined where IPv4 has none so wide. */
export function widened(prefix: Prefix, bits: number): Prefix | undefined {
  return prefix.ipv4 && bits < mappedBits ? undefined : prefixFromWords(prefix.words, bits);
}

/** An address as a runtime prints it, without its zone: `fe80::1` of `fe80::1%eth0` (RFC 4007 11). */
export function unzoned(address: string): string {
  return address.replace(/%.*$/, "");
}

/** Whether two addresses agree in their first bits. @param from where the second begins. */
export function sameHead(a: Words, b: ArrayLike<number>, bits: number, from = 0): boolean {
  for (let index = 0; index < 4 && index * 32 < bits; index++) {
    if ((((a[index] ?? 0) ^ (b[from + index] ?? 0)) & maskOf(bits - index * 32)) !== 0) return false;
  }
  return true;
}

/** The first bits of a word; all of them beyond 32. */
export function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

function isMapped(words: Words): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === mappedWord;
}

/** `address:port`, IPv6 in brackets (RFC 5952 section 6). */
export function formatEndpoint(endpoint: { readonly address: string; readonly port: number }): string {
  return endpoint.address.includes(":")
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}

function textOf(prefix: Prefix): string {
  const { words, bits } = prefix;
  if (prefix.ipv4) {
    const address = words[3];
    const dotted = `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
    return bits === 128 ? dotted : `${dotted}/${bits - mappedBits}`;
  }
  const text = new ipaddr.IPv6([...prefix.bytes]).toRFC5952String();
  return bits === 128 ? text : `${text}/${bits}`;
}

/** @returns undefined when the text is no address. */
function addressWords(text: string): Words | undefined {
  const ipv4 = ipv4Number(text);
  if (ipv4 >= 0) return [0, 0, mappedWord, ipv4];
  if (!isIPv6(text)) return undefined;
  const words = ipv6Words(unzoned(text));
  const zone = zoneOf(text);
  return zone === undefined || (isLinkLocal(words) && zoneName.test(zone)) ? words : undefined;
}

/** @param text an IPv6 address without a zone, such as isIPv6 takes. */
function ipv6Words(text: string): Words {
  const [front = "", back] = text.split("::");
  const [head, tail] = [groupsOf(front), groupsOf(back ?? "")];
  const group = (index: number) => (index < head.length ? head[index] : tail[index - 8 + tail.length]) ?? 0;
  const word = (index: number) => ((group(index) << 16) | group(index + 1)) >>> 0;
  return [word(0), word(2), word(4), word(6)];
}

function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    const ipv4 = ipv4Number(group);
    return ipv4 < 0 ? Number.parseInt(group, 16) : [ipv4 >>> 16, ipv4 & 0xffff];
  });
}

/** What Linux takes for an interface's name (dev_valid_name), or its number. */
const zoneName = /^[^\s/:\p{Cc}]{1,15}$/u;

/** fe80::/10 (RFC 4291 2.5.6): the only addresses that mean nothing without an interface. */
function isLinkLocal([first]: Words): boolean {
  return first >>> 22 === 0xfe80 >>> 6;
}

/** The interface that a link-local address needs to be bound or connected; undefined: it has none. */
export function zoneOf(address: string): string | undefined {
  const at = address.indexOf("%");
  return at < 0 ? undefined : address.slice(at + 1);
}

/** A link-local address must name its interface, and no other may. */
export function isZonedRightly(address: string): boolean {
  const words = addressWords(unzoned(address));
  return words !== undefined && isLinkLocal(words) === (zoneOf(address) !== undefined);
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
