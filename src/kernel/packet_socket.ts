// SPDX-License-Identifier: Apache-2.0
// Unix sockets that keep the bounds of messages and carry descriptors (SOCK_SEQPACKET, SCM_RIGHTS: unix(7)), which
// neither runtime has. Nothing here waits: what is not there yet is asked for again.

import type { Native } from "../runtime/types.ts";
import { check, KernelError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";

/** bits/socket.h */
const familyUnix = 1;
/** SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK */
const packets = 5 | 0x80000 | 0x800;
const cloexecNonblock = 0x80000 | 0x800;
const solSocket = 1;
const soPeerCred = 17;
const soSendBuffer = 7;
const scmRights = 1;
const dontWaitNoSignal = 0x40 | 0x4000;
const dontWaitCloexec = 0x40 | 0x40000000;
const truncated = 0x8 | 0x20;

const eagain = -11;
const econnreset = -104;
const epipe = -32;

/** Longest message; the kernel's usual limit for a send buffer is some three times that. */
export const messageBytes = 64 * 1024;
/** Descriptors with one message: SCM_MAX_FD of include/net/scm.h. */
export const mostDescriptors = 253;
const headerBytes = 16;

export interface Peer {
  readonly pid: number;
  readonly uid: number;
}

export interface Received {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The receiver's to close. */
  readonly descriptors: readonly number[];
}

/** struct sockaddr_un; undefined for a path that does not fit. With "@" in front it is an abstract name. */
export function unixAddress(path: string): Uint8Array<ArrayBuffer> | undefined {
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > 107) return undefined;
  // An abstract name has exactly its length, a path ends with NUL.
  const isAbstract = name[0] === 0x40;
  const address = nativeBytes(2 + name.length + (isAbstract ? 0 : 1));
  new DataView(address.buffer).setUint16(0, familyUnix, true);
  address.set(name, 2);
  if (isAbstract) address[2] = 0;
  return address;
}

export class PacketConnection implements Disposable {
  readonly #native: Native;
  readonly #libc: Libc;
  #fd: number;
  readonly #bytes = nativeBytes(messageBytes);
  readonly #control = nativeBytes(headerBytes + mostDescriptors * 4);
  readonly #vector = nativeBytes(16);
  readonly #header = nativeBytes(56);

  constructor(native: Native, libc: Libc, fd: number) {
    this.#native = native;
    this.#libc = libc;
    this.#fd = fd;
  }

  /** Who made the connection, by the kernel's word. @throws KernelError */
  peer(): Peer {
    const value = nativeBytes(12);
    const length = nativeBytes(4);
    new DataView(length.buffer).setUint32(0, 12, true);
    const { calls, result } = this.#libc;
    check("Ask who is at the other end", result(calls.getsockopt(this.#fd, solSocket, soPeerCred, value, length)));
    const view = new DataView(value.buffer);
    return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
  }

  /** @returns false when there is no room for it at the moment. @throws KernelError when the other end is gone. */
  send(bytes: Uint8Array, descriptors: readonly number[] = []): boolean {
    if (bytes.length > messageBytes || descriptors.length > mostDescriptors)
      throw new KernelError("Send a message", 90);
    this.#bytes.set(bytes);
    const control = new DataView(this.#control.buffer);
    // struct cmsghdr {size_t cmsg_len; int cmsg_level, cmsg_type}
    control.setBigUint64(0, BigInt(headerBytes + descriptors.length * 4), true);
    control.setInt32(8, solSocket, true);
    control.setInt32(12, scmRights, true);
    for (const [index, fd] of descriptors.entries()) control.setInt32(headerBytes + index * 4, fd, true);
    this.#prepare(
      bytes.length,
      descriptors.length === 0 ? 0 : Math.ceil((headerBytes + descriptors.length * 4) / 8) * 8,
    );
    const { calls, result } = this.#libc;
    const sent = result(calls.sendmsg(this.#fd, this.#header, dontWaitNoSignal));
    if (sent === eagain) return false;
    check("Send a message", sent);
    return true;
  }

  /** @returns "none" when nothing is there at the moment, "closed" when nothing will be. @throws KernelError */
  receive(): Received | "none" | "closed" {
    this.#prepare(messageBytes, this.#control.length);
    const { calls, result } = this.#libc;
    const length = result(calls.recvmsg(this.#fd, this.#header, dontWaitCloexec));
    if (length === eagain) return "none";
    if (length === 0 || length === econnreset || length === epipe) return "closed";
    check("Receive a message", length);
    const descriptors = this.#descriptors();
    if ((new DataView(this.#header.buffer).getInt32(48, true) & truncated) !== 0) {
      for (const fd of descriptors) calls.close(fd);
      throw new KernelError("Receive a message", 90);
    }
    return { bytes: this.#bytes.slice(0, length), descriptors };
  }

  #descriptors(): number[] {
    if (new DataView(this.#header.buffer).getBigUint64(40, true) < BigInt(headerBytes)) return [];
    const control = new DataView(this.#control.buffer);
    if (control.getInt32(8, true) !== solSocket || control.getInt32(12, true) !== scmRights) return [];
    const count = (Number(control.getBigUint64(0, true)) - headerBytes) / 4;
    return Array.from({ length: count }, (_, index) => control.getInt32(headerBytes + index * 4, true));
  }

  /** struct msghdr {void *name; socklen_t; struct iovec *; size_t; void *control; size_t; int flags}. */
  #prepare(length: number, controlLength: number): void {
    const vector = new DataView(this.#vector.buffer);
    vector.setBigUint64(0, this.#native.address(this.#bytes), true);
    vector.setBigUint64(8, BigInt(length), true);
    const header = new DataView(this.#header.buffer);
    header.setBigUint64(16, this.#native.address(this.#vector), true);
    header.setBigUint64(24, 1n, true);
    header.setBigUint64(32, controlLength === 0 ? 0n : this.#native.address(this.#control), true);
    header.setBigUint64(40, BigInt(controlLength), true);
    header.setInt32(48, 0, true);
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#libc.calls.close(this.#fd);
    this.#fd = -1;
  }
}

export class PacketListener implements Disposable {
  readonly #native: Native;
  readonly #libc: Libc;
  #fd: number;

  /**
   * Has the path from now on; who may connect is the file mode's to say: umask.
   * @throws KernelError
   */
  constructor(native: Native, libc: Libc, path: string) {
    this.#native = native;
    this.#libc = libc;
    this.#fd = packetSocket(libc);
    try {
      const address = required(path);
      const { calls, result } = libc;
      check(`Make the socket "${path}"`, result(calls.bind(this.#fd, address, address.length)));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Connections are taken from now on. @throws KernelError */
  listen(): void {
    const { calls, result } = this.#libc;
    check("Listen for take-overs", result(calls.listen(this.#fd, 4)));
  }

  /** @returns undefined when nobody waits. @throws KernelError */
  accept(): PacketConnection | undefined {
    const { calls, result } = this.#libc;
    const fd = result(calls.accept4(this.#fd, null, null, cloexecNonblock));
    if (fd === eagain) return undefined;
    return new PacketConnection(this.#native, this.#libc, check("Accept a take-over", fd));
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#libc.calls.close(this.#fd);
    this.#fd = -1;
  }
}

/** @throws KernelError */
export function connectPackets(native: Native, libc: Libc, path: string): PacketConnection {
  const address = required(path);
  const fd = packetSocket(libc);
  const connected = libc.result(libc.calls.connect(fd, address, address.length));
  if (connected < 0) libc.calls.close(fd);
  check(`Connect to "${path}"`, connected);
  return new PacketConnection(native, libc, fd);
}

/** @throws KernelError */
function required(path: string): Uint8Array<ArrayBuffer> {
  const address = unixAddress(path);
  if (address === undefined) throw new KernelError(`Use the socket "${path}"`, 36);
  return address;
}

function packetSocket({ calls, result }: Libc): number {
  const fd = check("Make a unix socket", result(calls.socket(familyUnix, packets, 0)));
  // As much as the system allows.
  const size = nativeBytes(4);
  new DataView(size.buffer).setInt32(0, 4 * messageBytes, true);
  calls.setsockopt(fd, solSocket, soSendBuffer, size, 4);
  return fd;
}
