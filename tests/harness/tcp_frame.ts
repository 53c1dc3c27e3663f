// SPDX-License-Identifier: Apache-2.0
// TCP segments as whole Ethernet frames with every field to choose and right checksums, and the way back.
// Pure.
import { isIpv4, requirePrefix } from "../../src/core/address.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";

export const fin = 1;
export const syn = 2;
export const rst = 4;
export const psh = 8;
export const ack = 16;
export const urg = 32;

export interface Ends {
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface TcpFields {
  readonly seq: number;
  readonly ack?: number;
  readonly flags: number;
  readonly window?: number;
  readonly urgent?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly bytes?: Uint8Array;
  readonly wrongChecksum?: boolean;
}

/** What lies around the segment. */
export interface Wrapping {
  /** VLAN ids, the outermost first. */
  readonly vlans?: readonly number[];
  /** The outermost tag is one of 802.1ad. */
  readonly serviceTag?: boolean;
  /** No-operations in the IPv4 header, a multiple of 4 bytes. */
  readonly ipv4OptionBytes?: number;
  /** Headers of destination options, 8 bytes each. */
  readonly ipv6Extensions?: number;
  /** What the first of them is instead: 0, hop-by-hop options; 43, a route that has been gone to its end. */
  readonly ipv6First?: number;
  /** Behind the packet, as a card adds to short frames. */
  readonly padding?: Uint8Array;
  /** To another card, or with a wrong checksum in the IPv4 header: the kernel throws it away. */
  readonly otherCard?: boolean;
  readonly wrongIpChecksum?: boolean;
}

const etherVlan = 0x8100;
const etherServiceVlan = 0x88a8;
const routing = 43;
const destinationOptions = 60;
const tcpProtocol = 6;

export function tcpFrame(ends: Ends, fields: TcpFields, wrapping: Wrapping = {}): NativeBuffer {
  const segment = tcpSegment(ends, fields);
  const network = isIpv4(requirePrefix(ends.source))
    ? ipv4Packet(ends, segment, wrapping)
    : ipv6Packet(ends, segment, wrapping);
  const tags = (wrapping.vlans ?? []).flatMap((id, index) => {
    const type = index === 0 && wrapping.serviceTag === true ? etherServiceVlan : etherVlan;
    return [type >> 8, type & 0xff, id >> 8, id & 0xff];
  });
  const etherType = network[0] === 0x60 ? [0x86, 0xdd] : [0x08, 0x00];
  const card = wrapping.otherCard === true ? Uint8Array.of(2, 0, 0, 0, 0, 0x77) : ends.destinationMac;
  return joined(card, ends.sourceMac, tags, etherType, network, wrapping.padding ?? []);
}

function tcpSegment(ends: Ends, fields: TcpFields): NativeBuffer {
  const options = fields.options ?? new Uint8Array();
  const segment = joined(new Uint8Array(20), options, fields.bytes ?? []);
  const view = new DataView(segment.buffer);
  view.setUint16(0, ends.sourcePort);
  view.setUint16(2, ends.destinationPort);
  view.setUint32(4, fields.seq >>> 0);
  view.setUint32(8, (fields.ack ?? 0) >>> 0);
  view.setUint8(12, ((20 + options.length) / 4) << 4);
  view.setUint8(13, fields.flags);
  view.setUint16(14, fields.window ?? 65_000);
  view.setUint16(18, fields.urgent ?? 0);
  const pseudo = joined(
    addressBytes(ends.source),
    addressBytes(ends.destination),
    [0, tcpProtocol, segment.length >> 8, segment.length & 0xff],
    segment,
  );
  const sum = checksum(pseudo);
  view.setUint16(16, fields.wrongChecksum === true ? sum ^ 0x5555 : sum);
  return segment;
}

function ipv4Packet(ends: Ends, segment: Uint8Array, wrapping: Wrapping): NativeBuffer {
  const { ipv4OptionBytes: optionBytes = 0, wrongIpChecksum = false } = wrapping;
  const header = new Uint8Array(20 + optionBytes).fill(1, 20);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x40 | (header.length / 4));
  view.setUint16(2, header.length + segment.length);
  view.setUint16(6, 0x4000);
  view.setUint8(8, 64);
  view.setUint8(9, tcpProtocol);
  header.set(addressBytes(ends.source), 12);
  header.set(addressBytes(ends.destination), 16);
  view.setUint16(10, checksum(header) ^ (wrongIpChecksum ? 0x5555 : 0));
  return joined(header, segment);
}

function ipv6Packet(ends: Ends, segment: Uint8Array, wrapping: Wrapping): NativeBuffer {
  const { ipv6Extensions: extensions = 0, ipv6First = destinationOptions } = wrapping;
  const header = new Uint8Array(40);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, extensions * 8 + segment.length);
  view.setUint8(6, extensions > 0 ? ipv6First : tcpProtocol);
  view.setUint8(7, 64);
  header.set(addressBytes(ends.source), 8);
  header.set(addressBytes(ends.destination), 24);
  // PadN over the rest of the header; of a route its type, one for experiments, and no segments that are left.
  const chain = Array.from({ length: extensions }, (_, index) => [
    index + 1 < extensions ? destinationOptions : tcpProtocol,
    ...(index === 0 && ipv6First === routing ? [0, 253, 0, 0, 0, 0, 0] : [0, 1, 4, 0, 0, 0, 0]),
  ]);
  return joined(header, chain.flat(), segment);
}

/** RFC 1071, over bytes in which the field itself is 0. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface ReadSegment {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly options: Uint8Array;
  readonly bytes: Uint8Array;
  /** Whether IPv4 header and segment have the checksums that they should have; not so within a host. */
  readonly rightChecksums: boolean;
}

/** @returns undefined for what is not TCP. Knows no options and extension headers: Linux sends none. */
export function readTcp(frame: Uint8Array): ReadSegment | undefined {
  let at = 12;
  const word = (offset: number) => ((frame[offset] ?? 0) << 8) | (frame[offset + 1] ?? 0);
  while (word(at) === etherVlan) at += 4;
  const network = frame.subarray(at + 2);
  const isIpv6 = word(at) === 0x86dd;
  if ((!isIpv6 && word(at) !== 0x0800) || network[isIpv6 ? 6 : 9] !== tcpProtocol) return undefined;
  const bytesOf = new DataView(network.buffer, network.byteOffset);
  const total = isIpv6 ? 40 + bytesOf.getUint16(4) : bytesOf.getUint16(2);
  const addressesAt = isIpv6 ? 8 : 12;
  const tcpAt = isIpv6 ? 40 : 20;
  const segment = network.slice(tcpAt, total);
  const view = new DataView(segment.buffer);
  const headerBytes = (view.getUint8(12) >> 4) * 4;
  const addresses = network.slice(addressesAt, tcpAt);
  const pseudo = joined(addresses, [0, tcpProtocol, segment.length >> 8, segment.length & 0xff], segment);
  return {
    source: addressText(addresses.subarray(0, addresses.length / 2)),
    destination: addressText(addresses.subarray(addresses.length / 2)),
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: view.getUint8(13),
    options: segment.slice(20, headerBytes),
    bytes: segment.slice(headerBytes),
    rightChecksums: checksum(pseudo) === 0 && (isIpv6 || checksum(network.slice(0, 20)) === 0),
  };
}

/** The value of a TCP option. */
export function optionOf(options: Uint8Array, kind: number): Uint8Array | undefined {
  for (let at = 0; at < options.length && options[at] !== 0; at += options[at] === 1 ? 1 : (options[at + 1] ?? 2)) {
    if (options[at] === kind) return options.slice(at + 2, at + (options[at + 1] ?? 2));
  }
  return undefined;
}

function addressBytes(text: string): Uint8Array {
  const { bytes } = requirePrefix(text);
  return text.includes(":") ? bytes : bytes.subarray(12);
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.slice(index * 2, index * 2 + 2).toHex());
  return requirePrefix(groups.join(":")).text;
}

export function joined(...parts: readonly (Uint8Array | readonly number[])[]): NativeBuffer {
  const bytes = new Uint8Array(new ArrayBuffer(parts.reduce((sum, part) => sum + part.length, 0)));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
