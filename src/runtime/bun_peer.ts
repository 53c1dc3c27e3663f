// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a socket, in one call: Bun's `remoteAddress` and `remotePort` are a getpeername(2) each.
import { native } from "./bun_ffi.ts";
import type { NativeCalls } from "./types.ts";

const symbols = { getpeername: [["i32", "buf", "buf"], "i32"] } as const;

/** struct sockaddr_in6, the longer one (netinet/in.h): family in host order, port, and then as the family says. */
const longest = 28;
const inet = 2;
const inet6 = 10;
const peer = new Uint8Array(new ArrayBuffer(longest));
const length = new Uint8Array(new ArrayBuffer(4));
const families = new Uint16Array(peer.buffer, 0, 1);
let calls: NativeCalls<typeof symbols> | "none" | undefined;

export interface Peer {
  /** Undefined unless it is of IPv4. */
  readonly ipv4: string | undefined;
  readonly port: number;
}

/** @returns undefined for a unix socket, where nobody is at the other end any more, and without native calls. */
export function peerOf(fd: number): Peer | undefined {
  calls ??= opened();
  if (calls === "none") return undefined;
  length[0] = longest;
  if (calls.getpeername(fd, peer, length) < 0) return undefined;
  const port = (at(2) << 8) | at(3);
  switch (families[0]) {
    case inet:
      return { ipv4: dotted(4), port };
    case inet6:
      return { ipv4: isMapped() ? dotted(20) : undefined, port };
    default:
      return undefined;
  }
}

function opened(): NativeCalls<typeof symbols> | "none" {
  try {
    return native.open("libc.so.6", symbols).calls;
  } catch {
    return "none";
  }
}

/** RFC 4291 2.5.5.2: ::ffff:0:0/96; the address begins at byte 8. */
function isMapped(): boolean {
  for (let offset = 8; offset < 18; offset++) if (at(offset) !== 0) return false;
  return at(18) === 0xff && at(19) === 0xff;
}

function dotted(offset: number): string {
  return `${at(offset)}.${at(offset + 1)}.${at(offset + 2)}.${at(offset + 3)}`;
}

function at(offset: number): number {
  return peer[offset] ?? 0;
}
