// SPDX-License-Identifier: Apache-2.0
// One datagram to a unix socket, as sd_notify(3) sends it; neither runtime has such sockets.
import type { Libc } from "./libc.ts";
import { nativeBytes } from "./native_bytes.ts";
import { unixAddress } from "./packet_socket.ts";

/** SOCK_DGRAM | SOCK_CLOEXEC */
const datagrams = 2 | 0x80000;
const familyUnix = 1;
const enametoolong = -36;
const dontWaitNoSignal = 0x40 | 0x4000;

/** @param path of the socket; with "@" in front an abstract one. @returns 0 or more, or -errno. */
export function sendDatagram({ calls, result }: Libc, path: string, text: string): number {
  const address = unixAddress(path);
  if (address === undefined) return enametoolong;
  const fd = result(calls.socket(familyUnix, datagrams, 0));
  if (fd < 0) return fd;
  try {
    const bytes = new TextEncoder().encode(text);
    const data = nativeBytes(bytes.length);
    data.set(bytes);
    return result(calls.sendto(fd, data, BigInt(data.length), dontWaitNoSignal, address, address.length));
  } finally {
    calls.close(fd);
  }
}
