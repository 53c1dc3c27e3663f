// SPDX-License-Identifier: Apache-2.0
// What the frames of an interface begin with, by its hardware type.
import { check } from "./errno.ts";
import type { Libraries } from "./libraries.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** `none`: the IP header comes first. */
export type LinkHeader = "ethernet" | "none";

/** linux/if_arp.h. */
const ethernetTypes: ReadonlySet<number> = new Set([1, 772]);
/** RAWIP, PPP, TUNNEL (ipip), TUNNEL6, and NONE: tun and WireGuard. */
const bareTypes: ReadonlySet<number> = new Set([519, 512, 768, 769, 0xfffe]);

/** linux/socket.h, linux/sockios.h. */
const afInet = 2;
const sockDgram = 2;
const siocgifhwaddr = 0x8927n;
/** struct ifreq: the name, then a struct sockaddr whose family is the type. */
const ifreqBytes = 40;
const typeOffset = 16;

export interface LinkKind {
  /** ARPHRD_* of linux/if_arp.h. */
  readonly type: number;
  /** Undefined: something else, such as the outer headers of a GRE or SIT tunnel. */
  readonly header: LinkHeader | undefined;
}

/** @throws KernelError when there is no such interface. */
export function linkKind({ libc }: Libraries, name: string): LinkKind {
  const request = nativeBytes(ifreqBytes);
  request.set(cString(name).subarray(0, typeOffset - 1));
  const fd = check("Open a socket", libc.result(libc.calls.socket(afInet, sockDgram, 0)));
  try {
    const asked = libc.result(libc.calls.ioctl(fd, siocgifhwaddr, request));
    check(`Ask for the hardware type of interface "${name}"`, asked);
  } finally {
    libc.calls.close(fd);
  }
  const type = new DataView(request.buffer).getUint16(typeOffset, true);
  return { type, header: ethernetTypes.has(type) ? "ethernet" : bareTypes.has(type) ? "none" : undefined };
}
