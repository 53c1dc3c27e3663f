// SPDX-License-Identifier: Apache-2.0
// Descriptors of sockets as the C library sees them: made twice, closed, asked what they are. For listeners that
// another process made, which neither runtime can describe.
import type { Endpoint, TcpSocket } from "../runtime/types.ts";
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** fcntl.h */
const getFlags = 1;
const setFlags = 2;
const duplicateCloexec = 1030;
const closeOnExec = 1n;

const openCloexec = 0o2000000;
const devNull = cString("/dev/null");
/** asm-generic/resource.h */
const limitOfFiles = 7;
/** bits/poll.h: nobody has opened it. */
const pollInvalid = 0x20;
const enfile = -23;
const emfile = -24;

/** bits/socket.h, asm-generic/socket.h */
const families = { 1: "unix", 2: "ipv4", 10: "ipv6" } as const;
const solSocket = 1;
const soType = 3;
const soAcceptConn = 30;
const typeStream = 1;
/** linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h; the levels as in bits/in.h */
const soOriginalDestination = 80;
const solIpv4 = 0;
const solIpv6 = 41;

/** Where a socket is bound. */
export type BoundAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** @throws KernelError */
export function duplicate({ calls, result }: Libc, fd: number): number {
  return check(`Duplicate descriptor ${fd}`, result(calls.fcntl(fd, duplicateCloexec, 3n)));
}

/**
 * Whether this process could open so many more files now. Tried where the last numbers are taken, since there may be a
 * free one among those before. @throws KernelError when it is not for want of room that it cannot.
 */
export function canOpen(libc: Libc, count: number): boolean {
  const { calls, result } = libc;
  // The system may have none left although this process may open more: one tells.
  const tries = areLastFree(libc, count) ? 1 : count;
  const opened: number[] = [];
  try {
    while (opened.length < tries) {
      const fd = result(calls.open(devNull, openCloexec));
      if (fd === emfile || fd === enfile) return false;
      opened.push(check('Open "/dev/null"', fd));
    }
    return true;
  } finally {
    for (const fd of opened) calls.close(fd);
  }
}

/** So many of the highest numbers that a descriptor may have; asked by one call for all. */
function areLastFree(libc: Libc, count: number): boolean {
  const first = openFilesLimit(libc) - count;
  // struct pollfd {descriptor, events, returned events}
  const asked = nativeBytes(count * 8);
  const view = new DataView(asked.buffer);
  for (let index = 0; index < count; index++) view.setInt32(index * 8, first + index, true);
  if (libc.result(libc.calls.poll(asked, BigInt(count), 0)) !== count) return false;
  for (let index = 0; index < count; index++) if (view.getInt16(index * 8 + 6, true) !== pollInvalid) return false;
  return true;
}

/** As the kernel holds this process to it now, which takes no open file to ask. @throws KernelError */
export function openFilesLimit({ calls, result }: Libc): number {
  const limits = nativeBytes(16);
  check("Read the limit of open files", result(calls.getrlimit(limitOfFiles, limits)));
  return Number(new DataView(limits.buffer).getBigUint64(0, true));
}

/** For a descriptor that came by the environment: programs that this one starts do not get it. @throws KernelError */
export function keepToItself({ calls, result }: Libc, fd: number): void {
  const flags = check(`Read the flags of descriptor ${fd}`, result(calls.fcntl(fd, getFlags, 0n)));
  check(`Set the flags of descriptor ${fd}`, result(calls.fcntl(fd, setFlags, BigInt(flags) | closeOnExec)));
}

/** Whether a descriptor is a socket that listens now. */
export function isListening(libc: Libc, fd: number): boolean {
  return intOption(libc, fd, soAcceptConn) === 1;
}

/** @returns undefined for what is no socket that listens for streams. */
export function listeningAddress(libc: Libc, fd: number): BoundAddress | undefined {
  if (!isListening(libc, fd) || intOption(libc, fd, soType) !== typeStream) return undefined;
  const address = nativeBytes(128);
  const length = nativeBytes(4);
  new DataView(length.buffer).setUint32(0, address.length, true);
  check(`Read the address of descriptor ${fd}`, libc.result(libc.calls.getsockname(fd, address, length)));
  return boundAddress(address, new DataView(length.buffer).getUint32(0, true));
}

/**
 * Where a connection led before the packet filter turned it (NAT), or leads if nothing did.
 * @returns undefined where it cannot be told.
 */
export function originalDestination({ calls, result }: Libc, socket: TcpSocket): Endpoint | undefined {
  return socket.withDescriptor((fd) => {
    for (const level of [solIpv4, solIpv6]) {
      const address = nativeBytes(28);
      const length = nativeBytes(4);
      new DataView(length.buffer).setUint32(0, address.length, true);
      if (result(calls.getsockopt(fd, level, soOriginalDestination, address, length)) < 0) continue;
      const found = boundAddress(address, new DataView(length.buffer).getUint32(0, true));
      if (found?.kind === "tcp") return { address: found.host, port: found.port };
    }
    return undefined;
  });
}

function intOption({ calls, result }: Libc, fd: number, name: number): number | undefined {
  const value = nativeBytes(4);
  const length = nativeBytes(4);
  new DataView(length.buffer).setUint32(0, 4, true);
  if (result(calls.getsockopt(fd, solSocket, name, value, length)) < 0) return undefined;
  return new DataView(value.buffer).getInt32(0, true);
}

/** struct sockaddr_in, sockaddr_in6 or sockaddr_un. */
function boundAddress(bytes: Uint8Array<ArrayBuffer>, length: number): BoundAddress | undefined {
  const view = new DataView(bytes.buffer);
  switch (families[view.getUint16(0, true) as keyof typeof families]) {
    case "unix": {
      const end = bytes.indexOf(0, 2);
      return {
        kind: "unix",
        path: new TextDecoder().decode(bytes.subarray(2, end < 0 ? length : Math.min(end, length))),
      };
    }
    case "ipv4":
      return { kind: "tcp", host: bytes.subarray(4, 8).join("."), port: view.getUint16(2, false) };
    case "ipv6": {
      const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + index * 2, false).toString(16));
      return { kind: "tcp", host: groups.join(":"), port: view.getUint16(2, false) };
    }
    case undefined:
      return undefined;
  }
}
