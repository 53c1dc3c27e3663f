// SPDX-License-Identifier: Apache-2.0
// Frames that no card ever sent: a TCP segment from a given source in the wrappings in which real ones
// come. For the kernel's test run only, so checksums are left out.
import { isIpv4, type Prefix } from "../../../core/address.ts";
import type { LinkHeader } from "../../../kernel/link_header.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";

export interface FrameShape {
  readonly destinationPort: number;
  readonly header?: LinkHeader;
  /** 802.1Q alone, or with 802.1ad around it. */
  readonly vlanTags?: 0 | 1 | 2;
  /** A fragment has the TCP header only if it is the first one. */
  readonly fragment?: "first" | "later";
  /** IPv6: hop-by-hop and destination options before the TCP header. IPv4: options in the header. */
  readonly extended?: boolean;
}

const etherIpv4 = 0x0800;
const etherIpv6 = 0x86dd;
const etherVlan = 0x8100;
const etherServiceVlan = 0x88a8;
const protocolTcp = 6;
const hopByHop = 0;
const fragmentHeader = 44;
const destinationOptions = 60;
const moreFragments = 0x2000;
/** In units of 8 bytes. */
const laterOffset = 185;
const tcpBytes = 20;
const sourcePort = 40_000;

/** @param source its first address is the frame's source. */
export function tcpFrame(source: Prefix, shape: FrameShape): NativeBuffer {
  const ipv4 = isIpv4(source);
  const parts = shape.header === "none" ? [] : [ethernet(ipv4 ? etherIpv4 : etherIpv6, shape.vlanTags ?? 0)];
  parts.push(...(ipv4 ? ipv4Header(source, shape) : ipv6Headers(source, shape)), tcpHeader(shape));
  const frame = nativeBytes(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    frame.set(part, offset);
    offset += part.length;
  }
  return frame;
}

function ethernet(protocol: number, tags: 0 | 1 | 2): Uint8Array {
  const header = new Uint8Array(14 + tags * 4);
  const view = new DataView(header.buffer);
  // Locally administered addresses.
  header[0] = 2;
  header[6] = 2;
  header[11] = 1;
  const protocols = [...(tags === 2 ? [etherServiceVlan] : []), ...(tags > 0 ? [etherVlan] : []), protocol];
  for (const [index, value] of protocols.entries()) {
    view.setUint16(12 + index * 4, value);
    if (index < tags) view.setUint16(14 + index * 4, 100 + index);
  }
  return header;
}

function ipv4Header(source: Prefix, { fragment, extended }: FrameShape): Uint8Array[] {
  const bytes = extended === true ? 28 : 20;
  const header = new Uint8Array(bytes);
  const view = new DataView(header.buffer);
  header[0] = 0x40 | (bytes / 4);
  view.setUint16(2, bytes + tcpBytes);
  view.setUint16(6, fragment === "first" ? moreFragments : fragment === "later" ? laterOffset : 0);
  header[8] = 64;
  header[9] = protocolTcp;
  header.set(source.bytes.subarray(12), 12);
  header.set([192, 0, 2, 1], 16);
  // No-operation options.
  header.fill(1, 20);
  return [header];
}

function ipv6Headers(source: Prefix, { fragment, extended }: FrameShape): Uint8Array[] {
  const chain: { readonly protocol: number; readonly header: Uint8Array }[] = [];
  if (extended === true) {
    for (const protocol of [hopByHop, destinationOptions]) {
      // PadN over the six bytes behind next header and length.
      chain.push({ protocol, header: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) });
    }
  }
  if (fragment !== undefined) {
    const header = new Uint8Array(8);
    new DataView(header.buffer).setUint16(2, fragment === "first" ? 1 : laterOffset << 3);
    chain.push({ protocol: fragmentHeader, header });
  }
  for (const [index, { header }] of chain.entries()) header[0] = chain[index + 1]?.protocol ?? protocolTcp;
  const base = new Uint8Array(40);
  const view = new DataView(base.buffer);
  base[0] = 0x60;
  view.setUint16(4, chain.length * 8 + tcpBytes);
  base[6] = chain[0]?.protocol ?? protocolTcp;
  base[7] = 64;
  base.set(source.bytes, 8);
  base.set([0x20, 0x01, 0x0d, 0xb8], 24);
  return [base, ...chain.map(({ header }) => header)];
}

function tcpHeader({ destinationPort }: FrameShape): Uint8Array {
  const header = new Uint8Array(tcpBytes);
  const view = new DataView(header.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  header[12] = 0x50;
  // SYN.
  header[13] = 2;
  return header;
}
