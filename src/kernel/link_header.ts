// SPDX-License-Identifier: Apache-2.0
// What the frames of an interface begin with, by its hardware type.
import { KernelError } from "./errno.ts";
import { askInterface } from "./interface_request.ts";
import type { Libraries } from "./libraries.ts";

/** `none`: the IP header comes first. */
export type LinkHeader = "ethernet" | "none";

/** linux/if_arp.h. */
const ethernetTypes: ReadonlySet<number> = new Set([1, 772]);
/** RAWIP, PPP, TUNNEL (ipip), TUNNEL6, and NONE: tun and WireGuard. */
const bareTypes: ReadonlySet<number> = new Set([519, 512, 768, 769, 0xfffe]);

const enodev = 19;

export interface LinkKind {
  /** ARPHRD_* of linux/if_arp.h. */
  readonly type: number;
  /** Undefined: something else, such as the outer headers of a GRE or SIT tunnel. */
  readonly header: LinkHeader | undefined;
}

/** @throws KernelError when there is no such interface. */
export function linkKind({ libc }: Libraries, name: string): LinkKind {
  // struct sockaddr, whose family is the type.
  const type = askInterface(libc, name, "hardwareType")?.getUint16(0, true);
  if (type === undefined) throw new KernelError(`Ask for the hardware type of interface "${name}"`, enodev);
  return { type, header: ethernetTypes.has(type) ? "ethernet" : bareTypes.has(type) ? "none" : undefined };
}
