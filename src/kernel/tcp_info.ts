// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a TCP connection: getsockopt(TCP_INFO), struct tcp_info of linux/tcp.h.
import type { Native, TcpSocket } from "../runtime/types.ts";
import { type Libc, openLibc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";

/** linux/tcp.h */
const tcpLevel = 6;
const tcpInfoOption = 11;
/** Up to tcpi_last_ack_recv, as in every kernel since 2.4. */
const infoBytes = 60;
const lastDataSentOffset = 44;
const lastDataReceivedOffset = 52;

/**
 * Opens the C library with the first question.
 * @returns the first bytes of struct tcp_info; undefined where native calls are not possible, for a socket that
 * is closed, and for one that is not of TCP.
 */
export function tcpInfo(native: Native): (socket: TcpSocket) => DataView | undefined {
  let libc: Libc | "none" | undefined;
  return (socket) => {
    libc ??= opened(native);
    if (libc === "none") return undefined;
    const { calls, result } = libc;
    const info = nativeBytes(infoBytes);
    const length = nativeBytes(4);
    length[0] = infoBytes;
    const asked = socket.withDescriptor((fd) => result(calls.getsockopt(fd, tcpLevel, tcpInfoOption, info, length)));
    return asked === undefined || asked < 0 ? undefined : new DataView(info.buffer);
  };
}

/** @returns how many milliseconds ago payload last went one way or the other. */
export function quietMs(info: DataView): number {
  return Math.min(info.getUint32(lastDataSentOffset, true), info.getUint32(lastDataReceivedOffset, true));
}

function opened(native: Native): Libc | "none" {
  try {
    return openLibc(native);
  } catch {
    return "none";
  }
}
