// SPDX-License-Identifier: Apache-2.0
// Files under /proc, /sys and the bpf file system. Through the C library, because Deno opens none of
// these for a process that runs with a list of permissions. Paths are the caller's own, never input.
import type { NativeBuffer } from "../runtime/types.ts";
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** fcntl.h */
const readOnlyCloexec = 0x80000;

/** Nearly all of them are shorter, and some are read again and again. */
const chunkBytes = 4096;
const decoder = new TextDecoder();

/** @throws KernelError */
export function readText(libc: Libc, path: string): string {
  const fd = check(`Open "${path}"`, libc.result(libc.calls.open(cString(path), readOnlyCloexec)));
  const chunk = nativeBytes(chunkBytes);
  let text = "";
  try {
    for (;;) {
      const read = check(`Read "${path}"`, libc.result(libc.calls.read(fd, chunk, BigInt(chunkBytes))));
      if (read === 0) return text;
      text += decoder.decode(chunk.subarray(0, read), { stream: true });
    }
  } finally {
    libc.calls.close(fd);
  }
}

/** @throws KernelError */
export function readLink(libc: Libc, path: string): string {
  const target = nativeBytes(4096);
  const length = check(
    `Read the link "${path}"`,
    libc.result(libc.calls.readlink(cString(path), target, BigInt(target.length))),
  );
  return decoder.decode(target.subarray(0, length));
}

/** 0, or -errno: -2 when there is nothing of that name. */
export function access(libc: Libc, path: string): number {
  return libc.result(libc.calls.access(cString(path), 0));
}

/** 0, or -errno. */
export function unlink(libc: Libc, path: string): number {
  return libc.result(libc.calls.unlink(cString(path)));
}

/** The file system's magic number (linux/magic.h), or -errno. */
export function fileSystemType(libc: Libc, path: string): number {
  const status = nativeBytes(256);
  const result = libc.result(libc.calls.statfs(cString(path), status));
  return result < 0 ? result : new DataView(status.buffer).getUint32(0, true);
}

/** struct statfs, 64-bit: f_flags is the eleventh word; ST_RDONLY is its first bit (statfs(2)). */
export function isReadOnly(libc: Libc, path: string): boolean {
  const status = nativeBytes(256);
  const result = libc.result(libc.calls.statfs(cString(path), status));
  return result === 0 && (new DataView(status.buffer).getUint32(80, true) & 1) === 1;
}

/** Names in a directory, without `.` and `..`; -errno when it is none or may not be read. */
export function listDirectory(libc: Libc, path: string): readonly string[] | number {
  const fd = libc.result(libc.calls.open(cString(path), readOnlyCloexec));
  if (fd < 0) return fd;
  const chunk = nativeBytes(chunkBytes);
  const names: string[] = [];
  try {
    for (;;) {
      const read = libc.result(libc.calls.getdents64(fd, chunk, BigInt(chunkBytes)));
      if (read <= 0) return read < 0 ? read : names;
      names.push(...directoryNames(chunk, read));
    }
  } finally {
    libc.calls.close(fd);
  }
}

/** struct linux_dirent64 {u64 inode, s64 offset, u16 length, u8 type, char name[]}. */
function* directoryNames(chunk: NativeBuffer, length: number): Generator<string> {
  const view = new DataView(chunk.buffer);
  for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
    const end = chunk.indexOf(0, at + 19);
    const name = decoder.decode(chunk.subarray(at + 19, end));
    if (name !== "." && name !== "..") yield name;
  }
}
