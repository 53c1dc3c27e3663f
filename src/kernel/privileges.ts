// SPDX-License-Identifier: Apache-2.0
// Giving up what is not needed once everything is attached: the user, and every capability but those
// that writing maps, putting an interface back under guard and the proof take. The C library changes the
// user of all threads at once; capabilities belong to each thread, and only the calling one's can be
// changed here. With another user the others lose theirs by that; without, `otherThreads` tells.

import { Failure } from "../failure.ts";
import type { Native } from "../runtime/types.ts";
import { check } from "./errno.ts";
import { listDirectory, readText } from "./files.ts";
import { type Libc, openLibc } from "./libc.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** linux/capability.h */
const capabilityNumbers = {
  CAP_DAC_OVERRIDE: 1,
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

export type CapabilityName = keyof typeof capabilityNumbers;

/**
 * Kernels before 5.19 ask for CAP_BPF on each map update where unprivileged BPF is off; attaching asks for
 * CAP_NET_ADMIN, and loading the tc program, should it come to that, for CAP_PERFMON.
 */
export const capabilitiesInUse: readonly CapabilityName[] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];

/** linux/prctl.h */
const setDumpable = 4;
const setKeepCapabilities = 8;
const dropFromBoundingSet = 24;
const setNoNewPrivileges = 38;
const ambient = 47;
const ambientRaise = 2n;
const ambientClearAll = 4n;

/** Version 3: two sets of 32 bits. */
const capabilityVersion = 0x20080522;

export interface PrivilegeOptions {
  readonly native: Native;
  /** Becomes this user; undefined: stays who it is. */
  readonly user?: string;
  /** Pins and files that the user is to own, so that a later start as that user can open them. */
  readonly paths?: readonly string[];
  /** Of those in use, what programs that are run have too, whoever the user is. */
  readonly children?: readonly CapabilityName[];
}

export interface Privileges {
  readonly userId: number;
  /** Of this thread, from now on. */
  readonly capabilities: readonly string[];
  /** True when a thread of the runtime has capabilities left that this one gave up. */
  readonly otherThreads: boolean;
}

/** @throws Failure for a user who does not exist or may not be become, KernelError otherwise. */
export function dropPrivileges({ native, user, paths = [], children = [] }: PrivilegeOptions): Privileges {
  const libc = openLibc(native);
  const keep = setOf(capabilitiesInUse);
  shrinkBoundingSet(libc, keep);
  if (user !== undefined) becomeUser(libc, native, user, paths);
  const permitted = readCapabilities(libc).permitted & keep;
  writeCapabilities(libc, permitted, permitted & setOf(children));
  for (const name of children) libc.calls.prctl(ambient, ambientRaise, BigInt(capabilityNumbers[name]), 0n, 0n);
  libc.calls.prctl(setNoNewPrivileges, 1n, 0n, 0n, 0n);
  return {
    userId: threadUser(libc),
    capabilities: capabilityList(permitted),
    otherThreads: otherThreadSets(libc).some((set) => (set & ~permitted) !== 0n),
  };
}

function setOf(names: readonly CapabilityName[]): bigint {
  return names.reduce((set, name) => set | (1n << BigInt(capabilityNumbers[name])), 0n);
}

function becomeUser(libc: Libc, native: Native, user: string, paths: readonly string[]): void {
  const name = cString(user);
  const entry = libc.calls.getpwnam(name);
  if (entry === 0n) throw new Failure(`User "${user}": there is none of this name: useradd --system ${user}`);
  // struct passwd {char *name; char *password; uid_t uid; gid_t gid; ...}
  const ids = new DataView(native.read(entry, 24).buffer);
  const [uid, gid] = [ids.getUint32(16, true), ids.getUint32(20, true)];
  for (const path of paths) check(`Give "${path}" to ${user}`, libc.result(libc.calls.chown(cString(path), uid, gid)));
  const steps: readonly [string, () => number][] = [
    // Only the permitted set, and of this thread only; what stays in use is raised again below.
    ["keep capabilities", () => libc.calls.prctl(setKeepCapabilities, 1n, 0n, 0n, 0n)],
    ["take the groups", () => libc.calls.initgroups(name, gid)],
    ["take the group", () => libc.calls.setresgid(gid, gid, gid)],
    ["take the user", () => libc.calls.setresuid(uid, uid, uid)],
    // Else /proc/self belongs to root, and with it what this process knows of its own descriptors.
    ["own /proc/self", () => libc.calls.prctl(setDumpable, 1n, 0n, 0n, 0n)],
  ];
  for (const [step, run] of steps) {
    if (libc.result(run()) >= 0) continue;
    throw new Failure(`User "${user}": could not ${step}: start as root, or without --user`);
  }
}

function shrinkBoundingSet(libc: Libc, keep: bigint): void {
  libc.calls.prctl(ambient, ambientClearAll, 0n, 0n, 0n);
  // Without CAP_SETPCAP nothing happens, and nothing needs to: the set only limits what a file may give.
  for (let capability = 0n; capability < 64n; capability++) {
    if ((keep & (1n << capability)) === 0n && libc.calls.prctl(dropFromBoundingSet, capability, 0n, 0n, 0n) < 0) return;
  }
}

/** struct __user_cap_header_struct {u32 version; int pid}, data {u32 effective, permitted, inheritable}[2]. */
function capabilityBuffers(): { readonly header: Uint8Array<ArrayBuffer>; readonly data: Uint8Array<ArrayBuffer> } {
  const header = nativeBytes(8);
  new DataView(header.buffer).setUint32(0, capabilityVersion, true);
  return { header, data: nativeBytes(24) };
}

export function readCapabilities(libc: Libc): { readonly effective: bigint; readonly permitted: bigint } {
  const { header, data } = capabilityBuffers();
  check("Read this thread's capabilities", libc.result(libc.calls.capget(header, data)));
  const view = new DataView(data.buffer);
  const whole = (offset: number): bigint =>
    BigInt(view.getUint32(offset, true)) | (BigInt(view.getUint32(offset + 12, true)) << 32n);
  return { effective: whole(0), permitted: whole(4) };
}

function writeCapabilities(libc: Libc, set: bigint, inheritable: bigint): void {
  const { header, data } = capabilityBuffers();
  const view = new DataView(data.buffer);
  for (const [offset, value] of [
    [0, set],
    [4, set],
    [8, inheritable],
  ] as const) {
    view.setUint32(offset, Number(value & 0xffffffffn), true);
    view.setUint32(offset + 12, Number(value >> 32n), true);
  }
  check("Give up capabilities", libc.result(libc.calls.capset(header, data)));
}

export function hasCapability(set: bigint, name: CapabilityName): boolean {
  return (set & (1n << BigInt(capabilityNumbers[name]))) !== 0n;
}

/** Names where this layer has one, numbers otherwise. */
function capabilityList(set: bigint): string[] {
  const names = new Map<number, string>(Object.entries(capabilityNumbers).map(([name, number]) => [number, name]));
  return Array.from({ length: 64 }, (_, number) => number)
    .filter((number) => (set & (1n << BigInt(number))) !== 0n)
    .map((number) => names.get(number) ?? `capability ${number}`);
}

function threadUser(libc: Libc): number {
  return Number(/^Uid:\s+(\d+)/m.exec(readText(libc, "/proc/thread-self/status"))?.[1] ?? Number.NaN);
}

function otherThreadSets(libc: Libc): bigint[] {
  const threads = listDirectory(libc, "/proc/self/task");
  if (typeof threads === "number") return [];
  return threads.map((thread) => {
    const set = /^CapPrm:\s+([0-9a-f]+)/m.exec(statusOf(libc, thread))?.[1];
    return set === undefined ? 0n : BigInt(`0x${set}`);
  });
}

/** Empty for a thread that has ended meanwhile. */
function statusOf(libc: Libc, thread: string): string {
  try {
    return readText(libc, `/proc/self/task/${thread}/status`);
  } catch {
    return "";
  }
}
