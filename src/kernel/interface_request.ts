// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of an interface by its name (ioctl, netdevice(7)). The C library's if_nametoindex() does the
// same, and says "no such interface" also when it could not ask.
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** linux/sockios.h. */
const requests = { flags: 0x8913n, hardwareType: 0x8927n, index: 0x8933n } as const;

/** linux/socket.h. */
const afInet = 2;
const sockDgramCloexec = 2 | 0o2000000;
/** struct ifreq: the name with its zero byte, then a union. */
const nameBytes = 16;
const ifreqBytes = 40;
const enodev = -19;

/** @returns the union; undefined when there is no such interface here. @throws KernelError when that cannot be told. */
export function askInterface(libc: Libc, name: string, what: keyof typeof requests): DataView | undefined {
  const text = cString(name);
  if (text.length > nameBytes) return undefined;
  const request = nativeBytes(ifreqBytes);
  request.set(text);
  const fd = check("Open a socket", libc.result(libc.calls.socket(afInet, sockDgramCloexec, 0)));
  let asked: number;
  try {
    asked = libc.result(libc.calls.ioctl(fd, requests[what], request));
  } finally {
    libc.calls.close(fd);
  }
  if (asked === enodev) return undefined;
  check(`Ask for the ${what} of interface "${name}"`, asked);
  return new DataView(request.buffer, nameBytes);
}

/** linux/if.h */
const iffUp = 0x1;
const iffRunning = 0x40;

/** It is here, and taken down or without a carrier: such ones are not in node:os. @throws KernelError */
export function isAtRest(libc: Libc, name: string): boolean {
  const flags = askInterface(libc, name, "flags")?.getUint16(0, true);
  return flags !== undefined && (flags & (iffUp | iffRunning)) !== (iffUp | iffRunning);
}
