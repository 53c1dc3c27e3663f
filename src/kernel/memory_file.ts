// SPDX-License-Identifier: Apache-2.0
// A file in memory alone: what has to be a file for somebody, and is to be nowhere.
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { cString } from "./native_bytes.ts";

/** linux/memfd.h. NOEXEC_SEAL: kernels from 6.3 warn without it; mapping the code is still allowed. */
const memfdCloexec = 1;
const memfdNoexecSeal = 8;

/** @returns its descriptor, the caller's to close. @throws KernelError */
export function memoryFile(libc: Libc, name: string, bytes: Uint8Array<ArrayBuffer>): number {
  const label = cString(name);
  let fd = libc.result(libc.calls.memfd_create(label, memfdCloexec | memfdNoexecSeal));
  if (fd < 0) fd = check(`Create memory file "${name}"`, libc.result(libc.calls.memfd_create(label, memfdCloexec)));
  for (let written = 0; written < bytes.length; ) {
    const rest = bytes.subarray(written);
    written += check(`Fill memory file "${name}"`, libc.result(libc.calls.write(fd, rest, BigInt(rest.length))));
  }
  return fd;
}
