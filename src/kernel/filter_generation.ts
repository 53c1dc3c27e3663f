// SPDX-License-Identifier: Apache-2.0
// A number that changes whenever somebody changes the rules of nftables, iptables' own among them (but for those of the
// legacy iptables): to look at the rules themselves takes a program, and long where there are many.
import { KernelError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { eachAttribute, headerBytes, NetlinkSocket } from "./netlink.ts";

/** linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h */
const netfilterProtocol = 12;
const nftSubsystem = 10 << 8;
const getGeneration = nftSubsystem | 16;
const newGeneration = nftSubsystem | 15;
const attributeId = 1;
/** struct nfgenmsg. */
const familyBytes = 4;

export class FilterGeneration implements Disposable {
  readonly #socket: NetlinkSocket | undefined;

  constructor(libc: Libc) {
    this.#socket = socketOf(libc);
  }

  /** Undefined where the kernel has no nftables, or tells this process nothing of them (CAP_NET_ADMIN). */
  read(): number | undefined {
    if (this.#socket === undefined) return undefined;
    const { view } = this.#socket;
    const size = this.#socket.ask(getGeneration, new Uint8Array(familyBytes));
    if (size < headerBytes + familyBytes || view.getUint16(4, true) !== newGeneration) return undefined;
    let generation: number | undefined;
    eachAttribute(view, headerBytes + familyBytes, size, (type, at) => {
      if (type === attributeId) generation = view.getUint32(at, false);
    });
    return generation;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#socket?.[Symbol.dispose]();
  }
}

/** Undefined where there are no such sockets. */
function socketOf(libc: Libc): NetlinkSocket | undefined {
  try {
    return new NetlinkSocket(libc, netfilterProtocol);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}
