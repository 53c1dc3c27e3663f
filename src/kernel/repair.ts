// SPDX-License-Identifier: Apache-2.0
// TCP_REPAIR, the kernel's mode for moving a connection to another host: a socket that is closed in it
// is gone at once, and neither FIN nor RST tells the peer (tcp_close in net/ipv4/tcp.c). The kernel wants
// CAP_NET_ADMIN in the user namespace that owns the network namespace.
import type { Native } from "../runtime/types.ts";
import { errnoName } from "./errno.ts";
import { openLibraries } from "./libraries.ts";
import { nativeBytes } from "./native_bytes.ts";

/** netinet/tcp.h */
const tcpLevel = 6;
const tcpRepair = 19;

/** @returns a function that puts a socket into repair mode; it returns why it cannot, undefined when done. */
export async function openRepair(native: Native): Promise<(fd: number) => string | undefined> {
  const { libc } = await openLibraries(native);
  const on = nativeBytes(4);
  new DataView(on.buffer).setInt32(0, 1, true);
  return (fd) => {
    const result = libc.result(libc.calls.setsockopt(fd, tcpLevel, tcpRepair, on, on.length));
    return result < 0 ? errnoName(-result) : undefined;
  };
}
