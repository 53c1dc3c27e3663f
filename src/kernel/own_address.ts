// SPDX-License-Identifier: Apache-2.0
// Whether connections to an address come to this host. Asked by binding a socket to it, since the addresses of
// interfaces are not all: there are local routes to whole networks, and ip_nonlocal_bind.
import { isIpv4, isWildcard, parsePrefix, zoneOf } from "../core/address.ts";
import { askInterface } from "./interface_request.ts";
import type { Libc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";

/** bits/socket.h, linux/in.h */
const afInet = 2;
const afInet6 = 10;
const sockStreamCloexec = 1 | 0o2000000;
const solIpv4 = 0;
const bindAddressNoPort = 24;

const enodev = -19;
/** A link-local address whose interface is gone. */
const einval = -22;
const eaddrnotavail = -99;

/**
 * One that this host has is asked for again when it may be gone. One that it has not is asked for each time: it may
 * come by ip_nonlocal_bind, of which the kernel tells nobody.
 * @param networkVersion another number when interfaces, addresses or routes may have changed.
 */
export function ownAddresses(libc: Libc, networkVersion: () => number): (host: string) => boolean {
  let own: { readonly host: string; readonly version: number } | undefined;
  return (host) => {
    const version = networkVersion();
    if (own?.host !== host || own.version !== version) own = hasAddress(libc, host) ? { host, version } : undefined;
    return own !== undefined;
  };
}

/** @param host an address, perhaps with a zone. @returns true also where no socket can be had to tell it. */
export function hasAddress(libc: Libc, host: string): boolean {
  const prefix = parsePrefix(host);
  if (prefix === undefined || isWildcard(host)) return true;
  const { calls, result } = libc;
  const isShort = isIpv4(prefix);
  // struct sockaddr_in {family, port, address}, sockaddr_in6 {family, port, flow label, address, scope}
  const address = nativeBytes(isShort ? 16 : 28);
  const view = new DataView(address.buffer);
  view.setUint16(0, isShort ? afInet : afInet6, true);
  address.set(isShort ? prefix.bytes.subarray(12) : prefix.bytes, isShort ? 4 : 8);
  const zone = zoneOf(host);
  if (zone !== undefined) view.setUint32(24, askInterface(libc, zone, "index")?.getInt32(0, true) ?? 0, true);
  const fd = result(calls.socket(isShort ? afInet : afInet6, sockStreamCloexec, 0));
  if (fd < 0) return true;
  const on = nativeBytes(4);
  on[0] = 1;
  // No port is taken for it.
  calls.setsockopt(fd, solIpv4, bindAddressNoPort, on, on.length);
  const bound = result(calls.bind(fd, address, address.length));
  calls.close(fd);
  return bound !== eaddrnotavail && bound !== enodev && bound !== einval;
}
