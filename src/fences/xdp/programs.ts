// SPDX-License-Identifier: Apache-2.0
// Programs that are loaded into the kernel, ours or not: what they are called and which maps they use.

import { closeFd } from "../../kernel/bpffs.ts";
import { check } from "../../kernel/errno.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import { cString, nativeBytes } from "../../kernel/native_bytes.ts";

/** include/uapi/linux/bpf.h, enum bpf_prog_type: those that see packets on an interface. */
const packetTypes: Readonly<Record<number, string>> = { 3: "tc", 4: "tc action", 6: "XDP" };

/** Names of our own, as in bpf/ttgate.bpf.c and bpf/inline.bpf.c. */
export const gateXdp = "gate_xdp";
export const gateTc = "gate_tc";
export const inlineBegin = "inline_begin";

const enoent = -2;
const mapIdLimit = 64;
/** fcntl.h */
const readOnlyCloexec = 0x80000;

export interface ProgramInfo {
  readonly id: number;
  /** Undefined when it is of a kind that sees no packets of an interface. */
  readonly kind: string | undefined;
  readonly name: string;
  readonly mapIds: readonly number[];
}

/** @throws KernelError when the descriptor is not a program's. */
export function readProgram({ bpf, native }: Libraries, fd: number): ProgramInfo {
  const info = nativeBytes(232);
  const ids = nativeBytes(mapIdLimit * 4);
  const length = nativeBytes(4);
  const view = new DataView(info.buffer);
  view.setUint32(52, mapIdLimit, true);
  view.setBigUint64(56, native.address(ids), true);
  new DataView(length.buffer).setUint32(0, info.length, true);
  check("Read a program's description", bpf.bpf_obj_get_info_by_fd(fd, info, length));
  const idView = new DataView(ids.buffer);
  const count = Math.min(view.getUint32(52, true), mapIdLimit);
  const name = info.subarray(64, 80);
  return {
    id: view.getUint32(4, true),
    kind: packetTypes[view.getUint32(0, true)],
    name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
    mapIds: Array.from({ length: count }, (_, index) => idView.getUint32(index * 4, true)),
  };
}

/** Undefined when it is gone, or may not be looked at (CAP_SYS_ADMIN). */
export function programById(libraries: Libraries, id: number): ProgramInfo | undefined {
  const fd = libraries.bpf.bpf_prog_get_fd_by_id(id);
  if (fd < 0) return undefined;
  try {
    return readProgram(libraries, fd);
  } finally {
    closeFd(libraries, fd);
  }
}

/** False only when the kernel says so: without CAP_SYS_ADMIN it says nothing. */
export function isLoaded(libraries: Libraries, id: number): boolean {
  const fd = libraries.bpf.bpf_prog_get_fd_by_id(id);
  if (fd >= 0) closeFd(libraries, fd);
  return fd !== enoent;
}

/** `gate_xdp (id 12)`, or what can be told of it. */
export function describeProgram(libraries: Libraries, id: number): string {
  const name = programById(libraries, id)?.name;
  return name === undefined || name === "" ? `program id ${id}` : `program "${name}" (id ${id})`;
}

/** Packet programs that use the map and are not ours. Undefined when the kernel does not let us look. */
export function otherReaders(libraries: Libraries, mapId: number): readonly ProgramInfo[] | undefined {
  const readers: ProgramInfo[] = [];
  const next = nativeBytes(4);
  for (let id = 0; ; ) {
    const result = libraries.bpf.bpf_prog_get_next_id(id, next);
    if (result === -1) return undefined;
    if (result < 0) return readers;
    id = new DataView(next.buffer).getUint32(0, true);
    const program = programById(libraries, id);
    const ours = program?.name === gateXdp || program?.name === gateTc;
    if (program?.kind !== undefined && !ours && program.mapIds.includes(mapId)) readers.push(program);
  }
}

/** include/uapi/linux/bpf.h, enum bpf_attach_type. */
const skLookup = 36;
const tcxIngress = 46;

/**
 * Ids of programs that may choose the socket of a connection to this network namespace, whatever its port; none where the
 * kernel does not tell.
 */
export function socketChoosers(libraries: Libraries): readonly number[] {
  const { libc } = libraries;
  const namespace = libc.calls.open(cString("/proc/thread-self/ns/net"), readOnlyCloexec);
  if (namespace < 0) return [];
  const ids = attachedAt(libraries, namespace, skLookup);
  libc.calls.close(namespace);
  return ids;
}

/** Ids of the programs that an interface has by tc links, in their order; none where the kernel does not tell. */
export function tcPrograms(libraries: Libraries, ifindex: number): readonly number[] {
  return attachedAt(libraries, ifindex, tcxIngress);
}

function attachedAt({ bpf }: Libraries, target: number, type: number): readonly number[] {
  const ids = nativeBytes(mapIdLimit * 4);
  const count = nativeBytes(4);
  const [idView, countView] = [new DataView(ids.buffer), new DataView(count.buffer)];
  countView.setUint32(0, mapIdLimit, true);
  if (bpf.bpf_prog_query(target, type, 0, nativeBytes(4), ids, count) < 0) return [];
  const found = Math.min(countView.getUint32(0, true), mapIdLimit);
  return Array.from({ length: found }, (_, index) => idView.getUint32(index * 4, true));
}
