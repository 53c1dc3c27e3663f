// SPDX-License-Identifier: Apache-2.0
// Frames put together from layers, outermost first: packet(ethernet(), vlan(5), ipv4({...}), tcp({...})).
// Each layer names the one inside it unless told otherwise. Pure; without checksums, which nothing reads
// before the program under test has passed its verdict.
import { isIpv4, requirePrefix } from "../../src/core/address.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";

export interface Layer {
  /** What the layer around it writes as its content: an EtherType, or an IP protocol. */
  readonly etherType?: number;
  readonly protocol?: number;
  header(inner: Layer | undefined, innerBytes: number): Uint8Array;
}

/** @param layers outermost first. */
export function packet(...layers: readonly Layer[]): NativeBuffer {
  let bytes: NativeBuffer = new Uint8Array(new ArrayBuffer(0));
  for (const [index, layer] of [...layers.entries()].reverse()) {
    const header = layer.header(layers[index + 1], bytes.length);
    const joined = new Uint8Array(new ArrayBuffer(header.length + bytes.length));
    joined.set(header);
    joined.set(bytes, header.length);
    bytes = joined;
  }
  return bytes;
}

/** Cut off, or filled up with zero bytes as a card does with short frames. */
export function resized(frame: NativeBuffer, length: number): NativeBuffer {
  const copy = new Uint8Array(new ArrayBuffer(length));
  copy.set(frame.subarray(0, length));
  return copy;
}

/** EtherTypes. */
export const etherArp = 0x0806;
export const etherVlan = 0x8100;
export const etherServiceVlan = 0x88a8;

/** IP protocols. */
export const hopByHop = 0;
export const routing = 43;
export const authentication = 51;
export const destinationOptions = 60;
const fragmentProtocol = 44;

export function ethernet({ etherType }: { readonly etherType?: number } = {}): Layer {
  return {
    header(inner) {
      const bytes = Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0, 0);
      new DataView(bytes.buffer).setUint16(12, etherType ?? inner?.etherType ?? 0);
      return bytes;
    },
  };
}

export function vlan(id: number, etherType: number = etherVlan): Layer {
  return {
    etherType,
    header(inner) {
      const bytes = new Uint8Array(4);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, id);
      view.setUint16(2, inner?.etherType ?? 0);
      return bytes;
    },
  };
}

export interface Ipv4Options {
  readonly source: string;
  readonly destination?: string;
  readonly protocol?: number;
  /** Bytes of options, a multiple of 4 up to 40. */
  readonly optionBytes?: number;
  /** In units of 8 bytes; anything but 0 is a later fragment. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  /** What the header claims, where that is not the truth. */
  readonly version?: number;
  readonly headerWords?: number;
  readonly totalBytes?: number;
}

export function ipv4(options: Ipv4Options): Layer {
  return {
    etherType: 0x0800,
    protocol: 4,
    header(inner, innerBytes) {
      const bytes = new Uint8Array(20 + (options.optionBytes ?? 0));
      const view = new DataView(bytes.buffer);
      bytes[0] = ((options.version ?? 4) << 4) | (options.headerWords ?? bytes.length / 4);
      view.setUint16(2, options.totalBytes ?? bytes.length + innerBytes);
      view.setUint16(6, (options.moreFragments === true ? 0x2000 : 0) | (options.fragmentOffset ?? 0));
      bytes[8] = 64;
      bytes[9] = options.protocol ?? inner?.protocol ?? 0;
      bytes.set(addressBytes(options.source), 12);
      bytes.set(addressBytes(options.destination ?? "198.51.100.1"), 16);
      // No-operation options.
      bytes.fill(1, 20);
      return bytes;
    },
  };
}

export interface Ipv6Options {
  readonly source: string;
  readonly destination?: string;
  readonly protocol?: number;
  readonly hopLimit?: number;
  readonly version?: number;
  readonly payloadBytes?: number;
}

export function ipv6(options: Ipv6Options): Layer {
  return {
    etherType: 0x86dd,
    protocol: 41,
    header(inner, innerBytes) {
      const bytes = new Uint8Array(40);
      bytes[0] = (options.version ?? 6) << 4;
      new DataView(bytes.buffer).setUint16(4, options.payloadBytes ?? innerBytes);
      bytes[6] = options.protocol ?? inner?.protocol ?? 59;
      bytes[7] = options.hopLimit ?? 64;
      bytes.set(wideAddressBytes(options.source), 8);
      bytes.set(wideAddressBytes(options.destination ?? "2001:db8:ffff::1"), 24);
      return bytes;
    },
  };
}

/**
 * An IPv6 extension header, or IPv4's authentication header.
 * @param units of length beyond its first 8 bytes: 8 bytes each, with AH 4.
 */
export function extension(protocol: number, units = 0): Layer {
  return {
    protocol,
    header(inner) {
      const bytes = new Uint8Array(8 + units * (protocol === authentication ? 4 : 8));
      bytes[0] = inner?.protocol ?? 59;
      bytes[1] = units;
      return bytes;
    },
  };
}

/** @param offset in units of 8 bytes. */
export function ipv6Fragment(offset: number, moreFragments = true): Layer {
  return {
    protocol: fragmentProtocol,
    header(inner) {
      const bytes = new Uint8Array(8);
      bytes[0] = inner?.protocol ?? 59;
      new DataView(bytes.buffer).setUint16(2, (offset << 3) | (moreFragments ? 1 : 0));
      return bytes;
    },
  };
}

export interface PortOptions {
  readonly sourcePort?: number;
  readonly destinationPort: number;
}

export function tcp({ sourcePort, destinationPort }: PortOptions): Layer {
  return {
    protocol: 6,
    header() {
      const bytes = new Uint8Array(20);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, sourcePort ?? 40_000);
      view.setUint16(2, destinationPort);
      bytes[12] = 0x50;
      // SYN.
      bytes[13] = 2;
      return bytes;
    },
  };
}

export function udp({ sourcePort, destinationPort }: PortOptions): Layer {
  return {
    protocol: 17,
    header(_, innerBytes) {
      const bytes = new Uint8Array(8);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, sourcePort ?? 40_000);
      view.setUint16(2, destinationPort);
      view.setUint16(4, 8 + innerBytes);
      return bytes;
    },
  };
}

/** @param type as in RFC 4443 and RFC 4861: 128 echo request, 133-137 neighbour discovery. */
export function icmpv6(type: number): Layer {
  return { protocol: 58, header: () => Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0) };
}

export function payload(length: number, fill = 0xaa): Layer {
  return { header: () => new Uint8Array(length).fill(fill) };
}

function addressBytes(text: string): Uint8Array {
  return requirePrefix(text).bytes.subarray(12);
}

/** Of an IPv6 address, the mapped ones too, which on the wire are IPv6 like any other. */
function wideAddressBytes(text: string): Uint8Array {
  const prefix = requirePrefix(text);
  if (isIpv4(prefix) && !text.includes(":")) throw new Error(`Not an IPv6 address: "${text}"`);
  return prefix.bytes;
}
