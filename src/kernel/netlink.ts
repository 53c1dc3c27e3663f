// SPDX-License-Identifier: Apache-2.0
// Questions to the kernel's routing tables (rtnetlink(7)) and others of its kind, and how its answers are taken apart. Nothing is
// changed, routes take no privilege, and nothing waits: the kernel has answered by the time it has taken the question.
import type { Work } from "../core/work.ts";
import { check, KernelError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";

/** bits/socket.h, linux/netlink.h */
export const afNetlink = 16;
const routeProtocol = 0;
const sockRawCloexec = 3 | 0o2000000;
/** MSG_DONTWAIT, and MSG_TRUNC: the answer's own length comes back, also where it was cut short. */
const dontWaitFullLength = 0x40 | 0x20;
const request = 0x1;
const dumpRequest = request | 0x300;
const dumpInterrupted = 0x10;
const errorMessage = 2;
const doneMessage = 3;
const emsgsize = 90;

/** struct nlmsghdr, struct rtattr. */
export const headerBytes = 16;
export const attributeBytes = 4;

/** Twice what the kernel puts into one answer of a dump. */
const answerBytes = 64 * 1024;

/** @returns a descriptor. @throws KernelError where there are no such sockets. */
export function openNetlink({ calls, result }: Libc, protocol = routeProtocol): number {
  return check("Open a netlink socket", result(calls.socket(afNetlink, sockRawCloexec, protocol)));
}

export class NetlinkSocket implements Disposable {
  readonly #libc: Libc;
  #fd: number;
  readonly #answer = nativeBytes(answerBytes);
  readonly view = new DataView(this.#answer.buffer);

  /** @throws KernelError where there are no such sockets. */
  constructor(libc: Libc, protocol = routeProtocol) {
    this.#libc = libc;
    this.#fd = openNetlink(libc, protocol);
  }

  /** @param payload what follows struct nlmsghdr. @returns the answer's length, in `view`; or -errno. */
  ask(type: number, payload: Uint8Array): number {
    const sent = this.#send(type, request, payload);
    return sent < 0 ? sent : this.#receive();
  }

  /**
   * Everything of a kind, in as many steps as the kernel has answers.
   * @param operation for errors: what is tried.
   * @param visit called with each message's type, the place behind its nlmsghdr and its end, in `view`.
   * @returns false where it changed while it was read: then some of it may be missing.
   * @throws KernelError
   */
  *dump(
    operation: string,
    type: number,
    payload: Uint8Array,
    visit: (type: number, from: number, end: number) => void,
  ): Work<boolean> {
    check(operation, this.#send(type, dumpRequest, payload));
    for (let isWhole = true; ; ) {
      const size = check(operation, this.#receive());
      if (size === 0 || size > answerBytes) throw new KernelError(operation, emsgsize);
      for (let at = 0; at + headerBytes <= size; ) {
        const end = at + this.view.getUint32(at, true);
        if (end < at + headerBytes || end > size) throw new KernelError(operation, emsgsize);
        if ((this.view.getUint16(at + 6, true) & dumpInterrupted) !== 0) isWhole = false;
        const answered = this.view.getUint16(at + 4, true);
        if (answered === errorMessage || answered === doneMessage) {
          check(operation, this.view.getInt32(at + headerBytes, true));
          return isWhole;
        }
        visit(answered, at + headerBytes, end);
        at += padded(end - at);
      }
      yield;
    }
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#libc.calls.close(this.#fd);
    this.#fd = -1;
  }

  #send(type: number, flags: number, payload: Uint8Array): number {
    const message = nativeBytes(headerBytes + payload.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, message.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags, true);
    message.set(payload, headerBytes);
    return this.#libc.result(this.#libc.calls.send(this.#fd, message, BigInt(message.length), 0));
  }

  #receive(): number {
    const { calls, result } = this.#libc;
    return result(calls.recv(this.#fd, this.#answer, BigInt(answerBytes), dontWaitFullLength));
  }
}

/** @param visit called with each attribute's type, the place of its value and the value's length. */
export function eachAttribute(
  view: DataView,
  from: number,
  end: number,
  visit: (type: number, at: number, length: number) => void,
): void {
  for (let at = from; at + attributeBytes <= end; ) {
    const length = view.getUint16(at, true);
    if (length < attributeBytes || at + length > end) return;
    visit(view.getUint16(at + 2, true), at + attributeBytes, length - attributeBytes);
    at += padded(length);
  }
}

/** NLMSG_ALIGN, RTA_ALIGN, RTNH_ALIGN. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}
