// SPDX-License-Identifier: Apache-2.0
// By which interface packets to an address leave this network namespace, asked of the kernel's routing table
// (rtnetlink, as "ip route get" does). Nothing is changed, and no privilege is needed.
import { isIpv4, type Prefix } from "../core/address.ts";
import { closeFd } from "./bpffs.ts";
import { check } from "./errno.ts";
import type { Libraries } from "./libraries.ts";
import { nativeBytes } from "./native_bytes.ts";
import { interfaceName } from "./xdp_query.ts";

/** linux/socket.h, linux/netlink.h, linux/rtnetlink.h */
const afInet = 2;
const afInet6 = 10;
const afNetlink = 16;
const sockRawCloexec = 3 | 0o2000000;
const messageDontWait = 0x40;
const getRoute = 26;
const newRoute = 24;
const request = 1;
const attributeDestination = 1;
const attributeOutput = 4;

/** struct nlmsghdr, struct rtmsg, struct rtattr. */
const headerBytes = 16;
const routeBytes = 12;
const attributeBytes = 4;

export class Routes implements Disposable {
  readonly #libraries: Libraries;
  readonly #fd: number;
  readonly #answer = nativeBytes(4096);
  #closed = false;

  /** @throws KernelError where there are no such sockets. */
  constructor(libraries: Libraries) {
    const { libc } = libraries;
    this.#libraries = libraries;
    this.#fd = check("Open a netlink socket", libc.result(libc.calls.socket(afNetlink, sockRawCloexec, 0)));
  }

  /** Of a range, its first address counts. Undefined where there is no route. */
  interfaceTo(prefix: Prefix): string | undefined {
    const { libc } = this.#libraries;
    const question = questionOf(prefix);
    if (Number(libc.calls.send(this.#fd, question, BigInt(question.length), 0)) < 0) return undefined;
    // The kernel has answered by the time it has taken the question.
    const size = Number(libc.calls.recv(this.#fd, this.#answer, BigInt(this.#answer.length), messageDontWait));
    const index = outputOf(this.#answer, size);
    return index === undefined ? undefined : interfaceName(this.#libraries, index);
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (!this.#closed) closeFd(this.#libraries, this.#fd);
    this.#closed = true;
  }
}

function questionOf(prefix: Prefix): Uint8Array<ArrayBuffer> {
  const address = isIpv4(prefix) ? prefix.bytes.subarray(12) : prefix.bytes;
  const message = nativeBytes(headerBytes + routeBytes + attributeBytes + address.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, getRoute, true);
  view.setUint16(6, request, true);
  message[headerBytes] = isIpv4(prefix) ? afInet : afInet6;
  message[headerBytes + 1] = address.length * 8;
  view.setUint16(headerBytes + routeBytes, attributeBytes + address.length, true);
  view.setUint16(headerBytes + routeBytes + 2, attributeDestination, true);
  message.set(address, headerBytes + routeBytes + attributeBytes);
  return message;
}

function outputOf(answer: Uint8Array<ArrayBuffer>, size: number): number | undefined {
  const view = new DataView(answer.buffer);
  if (size < headerBytes + routeBytes || view.getUint16(4, true) !== newRoute) return undefined;
  for (let at = headerBytes + routeBytes; at + attributeBytes + 4 <= size; ) {
    const length = view.getUint16(at, true);
    if (view.getUint16(at + 2, true) === attributeOutput) return view.getUint32(at + attributeBytes, true);
    if (length < attributeBytes) return undefined;
    at += (length + 3) & ~3;
  }
  return undefined;
}
