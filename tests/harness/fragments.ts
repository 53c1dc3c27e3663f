// SPDX-License-Identifier: Apache-2.0
// The packet of an Ethernet frame in IP fragments. Pure.
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { checksum, joined } from "./tcp_frame.ts";

const ethernetBytes = 14;
const ipv4Bytes = 20;
const ipv6Bytes = 40;
const fragmentHeader = 44;
const moreFragments = 0x2000;

/** @param cuts where the bytes behind the IP header are cut, multiples of 8. */
export function fragmentsOf(frame: Uint8Array, cuts: readonly number[]): NativeBuffer[] {
  const isIpv6 = frame[ethernetBytes] === 0x60;
  const headEnd = ethernetBytes + (isIpv6 ? ipv6Bytes : ipv4Bytes);
  const payload = frame.subarray(headEnd);
  const id = Math.floor(Math.random() * 0xffff) + 1;
  const edges = [0, ...cuts.filter((cut) => cut < payload.length), payload.length];
  return edges.slice(0, -1).map((from, index) => {
    const to = edges[index + 1] ?? from;
    const isLast = to === payload.length;
    const head = isIpv6 ? ipv6Head(frame, id, from, to, isLast) : ipv4Head(frame, id, from, to, isLast);
    return joined(head, payload.subarray(from, to));
  });
}

function ipv4Head(frame: Uint8Array, id: number, from: number, to: number, isLast: boolean): NativeBuffer {
  const header = joined(frame.subarray(ethernetBytes, ethernetBytes + ipv4Bytes));
  const view = new DataView(header.buffer);
  view.setUint16(2, ipv4Bytes + to - from);
  view.setUint16(4, id);
  view.setUint16(6, (isLast ? 0 : moreFragments) | (from / 8));
  view.setUint16(10, 0);
  view.setUint16(10, checksum(header));
  return joined(frame.subarray(0, ethernetBytes), header);
}

function ipv6Head(frame: Uint8Array, id: number, from: number, to: number, isLast: boolean): NativeBuffer {
  const header = joined(frame.subarray(ethernetBytes, ethernetBytes + ipv6Bytes), new Uint8Array(8));
  const view = new DataView(header.buffer);
  view.setUint8(ipv6Bytes, view.getUint8(6));
  view.setUint8(6, fragmentHeader);
  view.setUint16(4, 8 + to - from);
  view.setUint16(ipv6Bytes + 2, from | (isLast ? 0 : 1));
  view.setUint32(ipv6Bytes + 4, id);
  return joined(frame.subarray(0, ethernetBytes), header);
}
