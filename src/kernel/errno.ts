// SPDX-License-Identifier: Apache-2.0
// The one check that every native return goes through, and the names of the error numbers that bpf,
// mount and the capability calls return. libbpf (1.0 and later) and these wrappers return -errno.
import { Failure } from "../failure.ts";

const names: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  24: "EMFILE",
  28: "ENOSPC",
  30: "EROFS",
  32: "EPIPE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  40: "ELOOP",
  67: "ENOLINK",
  71: "EPROTO",
  90: "EMSGSIZE",
  95: "EOPNOTSUPP",
  100: "ENETDOWN",
  104: "ECONNRESET",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  // The kernel's own, not in any C library: a batch operation that this map type does not have.
  524: "ENOTSUPP",
  // libbpf.h, enum libbpf_errno.
  4000: "LIBBPF_LIBELF",
  4001: "LIBBPF_FORMAT",
  4002: "LIBBPF_KVERSION",
  4003: "LIBBPF_ENDIAN",
  4004: "LIBBPF_INTERNAL",
  4005: "LIBBPF_RELOC",
  4006: "LIBBPF_LOAD",
  4007: "LIBBPF_VERIFY",
  4008: "LIBBPF_PROG2BIG",
  4009: "LIBBPF_KVER",
  4010: "LIBBPF_PROGTYPE",
};

export function errnoName(errno: number): string {
  return names[errno] ?? `errno ${errno}`;
}

/** An operation that the kernel or libbpf refused. `code` as in node: (`EPERM`). */
export class KernelError extends Failure {
  readonly operation: string;
  readonly errno: number;
  readonly code: string;

  constructor(operation: string, errno: number, hint = "") {
    const code = errnoName(errno);
    super(`${operation}: ${code}${hint === "" ? "" : `, ${hint}`}`, { exitCode: 3 });
    this.name = "KernelError";
    this.operation = operation;
    this.errno = errno;
    this.code = code;
  }
}

/**
 * @param operation what was tried, with the value it was tried on.
 * @returns the result when it is not negative.
 * @throws KernelError
 */
export function check(operation: string, result: number): number {
  if (result < 0) throw new KernelError(operation, -result);
  return result;
}
