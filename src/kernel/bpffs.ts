// SPDX-License-Identifier: Apache-2.0
// The bpf file system: where a name given with -B lies, mounting it when it is not, pins that are made,
// opened and removed. A pin is a name for a map, a program or a link; which one is asked of the kernel.

import process from "node:process";
import { Failure, Unsupported } from "../failure.ts";
import { check, errnoName } from "./errno.ts";
import { access, fileSystemType, readLink, unlink } from "./files.ts";
import type { Libraries } from "./libraries.ts";
import { cString } from "./native_bytes.ts";

export const bpffsRoot = "/sys/fs/bpf";

/**
 * Where something under the usual root can be written: in a service /sys is read-only, and the unit has the bpf file
 * system at another place too. Everything is called by its usual name all the same.
 */
export function writablePath(path: string): string {
  const elsewhere = process.env["TTGATE_BPFFS"] ?? "";
  const isUsual = path === bpffsRoot || path.startsWith(`${bpffsRoot}/`);
  return elsewhere !== "" && isUsual ? elsewhere + path.slice(bpffsRoot.length) : path;
}

/** linux/magic.h */
const bpfFsMagic = 0xcafe4a11;
/** Longest name of a directory entry, less the longest that is put behind it (`_link_4294967295`). */
const nameLimit = 255 - 16;

const enoent = -2;
const erofs = -30;

export type MapPlace =
  | { readonly kind: "path"; readonly path: string }
  /** A loaded map without a name of its own; `path` is what its siblings' names begin with. */
  | { readonly kind: "id"; readonly id: number; readonly path: string };

/** @throws Failure for a value that can name no map. */
export function parseMapPlace(map: string): MapPlace {
  const wrong = (state: string): Failure => new Failure(`Block map "${map}": ${state}`);
  if (map.startsWith("id:")) {
    if (!/^id:[1-9][0-9]{0,9}$/.test(map) || Number(map.slice(3)) > 0xffffffff) {
      throw wrong('not an id: use "id:" and the number that "bpftool map" shows');
    }
    const id = Number(map.slice(3));
    return { kind: "id", id, path: `${bpffsRoot}/ttgate_map_${id}` };
  }
  if (map === "") throw wrong("empty: give an absolute path, a name under /sys/fs/bpf, or id:N");
  if (map.includes("\0")) throw wrong("has a NUL byte: give a plain name");
  if (!map.startsWith("/") && map.includes("/")) {
    throw wrong(`a relative path: write "${bpffsRoot}/${map}", or a bare name`);
  }
  const path = map.startsWith("/") ? map.replace(/\/+/g, "/").replace(/\/$/, "") : `${bpffsRoot}/${map}`;
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (name === "") throw wrong("not a map's path: name a file in it");
  // kernel/bpf/inode.c: names with a dot are kept for the kernel.
  if (name.includes(".")) throw wrong("the bpf file system takes no name with a dot: use an underscore");
  if (new TextEncoder().encode(name).length > nameLimit)
    throw wrong(`longer than ${nameLimit} bytes: use a shorter name`);
  return { kind: "path", path };
}

/**
 * Makes sure that the path's directory is on a bpf file system; mounts the usual one when it is not there.
 * @throws Failure when it is not and cannot be.
 */
export function prepareDirectory({ libc }: Libraries, path: string, log: (message: string) => void): void {
  const directory = path.slice(0, path.lastIndexOf("/")) || "/";
  const inUsual = directory === bpffsRoot || directory.startsWith(`${bpffsRoot}/`);
  if (inUsual && fileSystemType(libc, bpffsRoot) !== bpfFsMagic) {
    mountBpffs(libc);
    log(`Mounted the bpf file system at ${bpffsRoot}`);
  }
  const type = fileSystemType(libc, directory);
  if (type === enoent) {
    throw new Failure(`Block map "${path}": there is no directory ${directory}: make it with mkdir -p ${directory}`);
  }
  if (type < 0) {
    throw new Failure(`Block map "${path}": ${directory} cannot be read: ${errnoName(-type)}`);
  }
  if (type !== bpfFsMagic) {
    throw new Failure(`Block map "${path}": ${directory} is not on a bpf file system: use a path under ${bpffsRoot}`);
  }
}

function mountBpffs(libc: Libraries["libc"]): void {
  const result = libc.result(
    libc.calls.mount(cString("bpf"), cString(bpffsRoot), cString("bpf"), 0n, cString("mode=0700")),
  );
  if (result >= 0) return;
  const remedy =
    result === enoent
      ? "this kernel has no bpf file system: it needs CONFIG_BPF_SYSCALL"
      : `run once as root: mount -t bpf bpf ${bpffsRoot}`;
  throw new Unsupported(
    `The bpf file system is not mounted at "${bpffsRoot}" and cannot be (${errnoName(-result)}): ${remedy}`,
  );
}

export type PinKind = "map" | "program" | "link" | "other";

export interface Pin extends Disposable {
  readonly path: string;
  readonly fd: number;
  readonly kind: PinKind;
}

/** @returns undefined when there is nothing of that name, and -errno when it cannot be opened. */
export function openPin(libraries: Libraries, path: string): Pin | number | undefined {
  const there = access(libraries.libc, path);
  if (there === enoent) return undefined;
  const fd = there < 0 ? there : libraries.bpf.bpf_obj_get(cString(path));
  if (fd < 0) return fd;
  try {
    return { path, fd, kind: kindOf(libraries, fd), [Symbol.dispose]: () => closeFd(libraries, fd) };
  } catch (error) {
    closeFd(libraries, fd);
    throw error;
  }
}

/** fcntl.h: O_PATH and O_CLOEXEC. */
const pathCloexec = 0o10000000 | 0x80000;

/** A pin by another way than its path: its directory may be closed to the user that this process becomes. */
export class WatchedPin implements Disposable {
  readonly #libc: Libraries["libc"];
  #fd: number;

  constructor({ libc }: Libraries, path: string) {
    this.#libc = libc;
    this.#fd = libc.calls.open(cString(path), pathCloexec);
  }

  /** Somebody removed or replaced it. */
  get isGone(): boolean {
    return this.#fd >= 0 && readLink(this.#libc, `/proc/self/fd/${this.#fd}`).endsWith(" (deleted)");
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#libc.calls.close(this.#fd);
    this.#fd = -1;
  }
}

/** In words for who cannot put a pin back. */
export function closedDirectory(path: string): string {
  return `${path.slice(0, path.lastIndexOf("/")) || "/"} is closed to this user`;
}

export function closeFd({ libc }: Libraries, fd: number): void {
  libc.calls.close(fd);
}

/** The kernel names the descriptors `bpf-map`, `bpf-prog` and `bpf_link` (also `bpf-link`). */
export function kindOf({ libc }: Libraries, fd: number): PinKind {
  const target = readLink(libc, `/proc/self/fd/${fd}`);
  if (target.includes("bpf-map")) return "map";
  if (target.includes("bpf-prog")) return "program";
  return /bpf[-_]link/.test(target) ? "link" : "other";
}

/** @throws Failure on a read-only file system, KernelError otherwise. */
export function pin({ bpf }: Libraries, fd: number, path: string): void {
  const result = bpf.bpf_obj_pin(fd, cString(writablePath(path)));
  if (result === erofs) throw readOnlyBpffs(path);
  check(`Pin "${path}"`, result);
}

/** @returns false when it was not there. @throws Failure on a read-only file system. */
export function unpin({ libc }: Libraries, path: string): boolean {
  const result = unlink(libc, writablePath(path));
  if (result === enoent) return false;
  if (result === erofs) throw readOnlyBpffs(path);
  check(`Remove the pin "${path}"`, result);
  return true;
}

function readOnlyBpffs(path: string): Failure {
  return new Failure(`Pin "${path}": the bpf file system is mounted read-only: run mount -o remount,rw ${bpffsRoot}`);
}
