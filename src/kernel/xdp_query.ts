// SPDX-License-Identifier: Apache-2.0
// What is attached where, as the kernel tells: the XDP program of an interface, the target of a link.
import { check } from "./errno.ts";
import { askInterface } from "./interface_request.ts";
import type { Libraries } from "./libraries.ts";
import { nativeBytes } from "./native_bytes.ts";

export interface XdpState {
  readonly programId: number;
  readonly mode: "native" | "generic" | "none";
}

/** struct bpf_xdp_query_opts of libbpf; attach_mode is enum XDP_ATTACHED_* (2 is generic, others are the driver's). */
export function queryXdp({ bpf }: Libraries, ifindex: number): XdpState {
  const options = nativeBytes(32);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 32n, true);
  check(`Ask for the XDP program of interface ${ifindex}`, bpf.bpf_xdp_query(ifindex, 0, options));
  const mode = options[24] ?? 0;
  // With programs of several modes at once prog_id is 0, and the driver's comes first.
  const programId = [8, 12, 20].map((offset) => view.getUint32(offset, true)).find((id) => id !== 0) ?? 0;
  return { programId, mode: mode === 0 ? "none" : mode === 2 ? "generic" : "native" };
}

/** 0 when there is no such interface in this network namespace. @throws KernelError when that cannot be told. */
export function interfaceIndex({ libc }: Libraries, name: string): number {
  return askInterface(libc, name, "index")?.getInt32(0, true) ?? 0;
}

/** Undefined when there is no such interface in this network namespace. */
export function interfaceName({ libc, native }: Pick<Libraries, "libc" | "native">, index: number): string | undefined {
  const found = libc.calls.if_indextoname(index, nativeBytes(16));
  return found === 0n ? undefined : native.text(found);
}

export interface LinkInfo {
  readonly kind: "xdp" | "tc" | "other";
  readonly id: number;
  readonly programId: number;
  /** 0 when the interface is gone, or the link was detached. */
  readonly ifindex: number;
}

/** @throws KernelError when the descriptor is not a link's. */
export function readLinkInfo({ bpf }: Libraries, fd: number): LinkInfo {
  const info = nativeBytes(64);
  const length = nativeBytes(4);
  new DataView(length.buffer).setUint32(0, info.length, true);
  check("Read a link's description", bpf.bpf_obj_get_info_by_fd(fd, info, length));
  const view = new DataView(info.buffer);
  const type = view.getUint32(0, true);
  // enum bpf_link_type: XDP 6, TCX 11. Both begin their part with the interface.
  const kind = type === 6 ? "xdp" : type === 11 ? "tc" : "other";
  return {
    kind,
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    ifindex: kind === "other" ? 0 : view.getUint32(16, true),
  };
}
