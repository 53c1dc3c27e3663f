// SPDX-License-Identifier: Apache-2.0
// By which interface packets to an address leave this network namespace, asked of the kernel's routing table
// (rtnetlink, as "ip route get" does). Nothing is changed, and no privilege is needed.
import { isIpv4, type Prefix } from "../core/address.ts";
import type { Libraries } from "./libraries.ts";
import { attributeBytes, eachAttribute, headerBytes, NetlinkSocket } from "./netlink.ts";
import { interfaceName } from "./xdp_query.ts";

/** linux/socket.h, linux/rtnetlink.h */
const afInet = 2;
const afInet6 = 10;
const getRoute = 26;
const newRoute = 24;
const attributeDestination = 1;
const attributeOutput = 4;

/** struct rtmsg. */
const routeBytes = 12;

export class Routes implements Disposable {
  readonly #libraries: Libraries;
  readonly #socket: NetlinkSocket;

  /** @throws KernelError where there are no such sockets. */
  constructor(libraries: Libraries) {
    this.#libraries = libraries;
    this.#socket = new NetlinkSocket(libraries.libc);
  }

  /** Of a range, its first address counts. Undefined where there is no route. */
  interfaceTo(prefix: Prefix): string | undefined {
    const index = outputOf(this.#socket.view, this.#socket.ask(getRoute, questionOf(prefix)));
    return index === undefined ? undefined : interfaceName(this.#libraries, index);
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** struct rtmsg and the destination. */
function questionOf(prefix: Prefix): Uint8Array {
  const address = isIpv4(prefix) ? prefix.bytes.subarray(12) : prefix.bytes;
  const question = new Uint8Array(routeBytes + attributeBytes + address.length);
  question[0] = isIpv4(prefix) ? afInet : afInet6;
  question[1] = address.length * 8;
  question[routeBytes] = attributeBytes + address.length;
  question[routeBytes + 2] = attributeDestination;
  question.set(address, routeBytes + attributeBytes);
  return question;
}

function outputOf(answer: DataView, size: number): number | undefined {
  if (size < headerBytes + routeBytes || answer.getUint16(4, true) !== newRoute) return undefined;
  let output: number | undefined;
  eachAttribute(answer, headerBytes + routeBytes, Math.min(size, answer.byteLength), (type, at) => {
    if (type === attributeOutput) output = answer.getUint32(at, true);
  });
  return output;
}
