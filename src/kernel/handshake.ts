// SPDX-License-Identifier: Apache-2.0
// Whether what a socket has received proves its sender's address. Behind a handshake it does; with TCP Fast
// Open (RFC 7413) data comes with the SYN, which anybody can send in anybody's name where no cookie is asked for.
import type { Native, TcpSocket } from "../runtime/types.ts";
import { tcpInfo } from "./tcp_info.ts";

/** struct tcp_info: tcpi_state and tcpi_options, TCPI_OPT_SYN_DATA. */
const stateOffset = 0;
const optionsOffset = 5;
const synDataOption = 32;
/** enum tcp_state: ESTABLISHED and CLOSE_WAIT, of those that a server's socket has before it closes. */
const finished: ReadonlySet<number> = new Set([1, 8]);

/**
 * Where native calls are not possible the answer is true: then nothing but the host's own settings keeps TCP
 * Fast Open out.
 */
export function handshakes(native: Native): (socket: TcpSocket) => boolean {
  const infoOf = tcpInfo(native);
  return (socket) => {
    const info = infoOf(socket);
    if (info === undefined) return true;
    // Data that did not come with the SYN came behind the handshake, whatever became of the connection.
    const isEarly = (info.getUint8(optionsOffset) & synDataOption) !== 0;
    return !isEarly || finished.has(info.getUint8(stateOffset));
  };
}
