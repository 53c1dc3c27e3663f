// SPDX-License-Identifier: Apache-2.0
// Whether interfaces, addresses or routes of this network namespace changed, as the kernel tells whoever subscribes
// (rtnetlink(7)): nobody has to read all of them again and again. What changed is not looked at, only that something did.
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";
import { afNetlink, openNetlink } from "./netlink.ts";

/** MSG_DONTWAIT of bits/socket.h. */
const dontWait = 0x40;
/** linux/rtnetlink.h: links, addresses and routes of both families, MPLS routes, next-hop objects. */
const groups = [1, 5, 9, 7, 11, 27, 32];
/** struct sockaddr_nl: the family, padding, a port of the kernel's choice, the groups as bits. */
const addressBytes = 12;
const groupsAt = 8;

const eagain = -11;
/** Routers change routes by the thousand: what is more waits, and counts as another change the next time. */
const readAtOnce = 500;
/** Read anew all the same, for what an old kernel may not tell. */
const longestMs = 10_000;

export class NetworkChanges implements Disposable {
  readonly #libc: Libc;
  /** Undefined where there are no such sockets: everything may have changed whenever somebody asks. */
  #fd: number | undefined;
  readonly #message = nativeBytes(16);
  #version = 0;
  #sinceMs = performance.now();

  constructor(libc: Libc) {
    this.#libc = libc;
    try {
      this.#fd = subscribed(libc);
    } catch {
      // Whoever reads the routes says why.
    }
  }

  /** Another number than the last time when something may have changed since. */
  version(): number {
    const isOld = performance.now() - this.#sinceMs > longestMs;
    if (this.#read() || isOld) {
      this.#version++;
      this.#sinceMs = performance.now();
    }
    return this.#version;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) this.#libc.calls.close(this.#fd);
    this.#fd = undefined;
  }

  /** An error is a sign too: the kernel says by one that it had no room for all there was to tell. */
  #read(): boolean {
    if (this.#fd === undefined) return true;
    const { calls, result } = this.#libc;
    for (let count = 0; count < readAtOnce; count++) {
      const received = result(calls.recv(this.#fd, this.#message, BigInt(this.#message.length), dontWait));
      if (received === eagain) return count > 0;
    }
    return true;
  }
}

/** @throws KernelError where there are no such sockets. */
function subscribed(libc: Libc): number {
  const { calls, result } = libc;
  const fd = openNetlink(libc);
  const address = nativeBytes(addressBytes);
  const view = new DataView(address.buffer);
  view.setUint16(0, afNetlink, true);
  view.setUint32(
    groupsAt,
    groups.reduce((bits, group) => (bits | (1 << (group - 1))) >>> 0, 0),
    true,
  );
  try {
    check("Subscribe to changes of the network", result(calls.bind(fd, address, addressBytes)));
  } catch (error) {
    calls.close(fd);
    throw error;
  }
  return fd;
}
