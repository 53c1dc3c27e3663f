// SPDX-License-Identifier: Apache-2.0
// Whether what a socket has received proves its sender's address. Behind a handshake it does; with TCP Fast
// Open (RFC 7413) data comes with the SYN, which anybody can send in anybody's name where no cookie is asked for.
import type { Native, TcpSocket } from "../runtime/types.ts";
import { type Libc, openLibc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";

/** linux/tcp.h: TCP_INFO, the first bytes of struct tcp_info. */
const tcpLevel = 6;
const tcpInfo = 11;
const infoBytes = 8;
const optionsOffset = 5;
const synDataOption = 32;
/** enum tcp_state: ESTABLISHED and CLOSE_WAIT, of those that a server's socket has before it closes. */
const finished: ReadonlySet<number | undefined> = new Set([1, 8]);

/**
 * Opens the C library with the first question. Where native calls are not possible the answer is true: then
 * nothing but the host's own settings keeps TCP Fast Open out.
 */
export function handshakes(native: Native): (socket: TcpSocket) => boolean {
  let libc: Libc | "none" | undefined;
  return (socket) => {
    libc ??= opened(native);
    if (libc === "none") return true;
    const { calls, result } = libc;
    const info = nativeBytes(infoBytes);
    const length = nativeBytes(4);
    length[0] = infoBytes;
    const asked = socket.withDescriptor((fd) => result(calls.getsockopt(fd, tcpLevel, tcpInfo, info, length)));
    if (asked === undefined || asked < 0) return true;
    // Data that did not come with the SYN came behind the handshake, whatever became of the connection.
    const isEarly = ((info[optionsOffset] ?? 0) & synDataOption) !== 0;
    return !isEarly || finished.has(info[0]);
  };
}

function opened(native: Native): Libc | "none" {
  try {
    return openLibc(native);
  } catch {
    return "none";
  }
}
