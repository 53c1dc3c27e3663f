// SPDX-License-Identifier: Apache-2.0
// flock(2) on a file that is there for nothing else: seen by every process of the host, whatever its PID namespace, and
// ended by the kernel with the process.
import { closeSync, constants, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { codeOf } from "../failure.ts";
import type { Libc } from "../kernel/libc.ts";
import { identityAt, identityOfOpen, wasRemoved } from "./file_identity.ts";

/** asm-generic/fcntl.h */
const exclusiveNonblocking = 2 | 4;
const sharedNonblocking = 1 | 4;
const ewouldblock = -11;

export class FileLock {
  readonly #path: string;
  readonly #fd: number;

  /** @returns undefined when another process has it. @throws Error when there can be no such file. */
  static take(libc: Libc, path: string): FileLock | undefined {
    for (;;) {
      const fd = opened(path);
      // A file system that knows no locks locks nobody out.
      const isTaken = libc.result(libc.calls.flock(fd, exclusiveNonblocking)) === ewouldblock;
      if (!isTaken && identityAt(path) === identityOfOpen(fd)) return new FileLock(path, fd);
      closeSync(fd);
      if (isTaken) return undefined;
      // Whoever had it has removed it in the meantime.
    }
  }

  /** Whether a process has it now. @throws Error when it cannot be told. */
  static isHeld(libc: Libc, path: string): boolean {
    if (identityAt(path) === undefined) return false;
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return libc.result(libc.calls.flock(fd, sharedNonblocking)) === ewouldblock;
    } finally {
      closeSync(fd);
    }
  }

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** Says who has it. */
  write(text: string): void {
    ftruncateSync(this.#fd);
    writeSync(this.#fd, text, 0);
  }

  /** The file was removed, and may be somebody else's by now. @throws Error when it cannot be told. */
  get isLost(): boolean {
    return wasRemoved(this.#path, identityOfOpen(this.#fd));
  }

  /** Leaves the file, which is somebody else's by now. */
  abandon(): void {
    closeSync(this.#fd);
  }

  /** One that is somebody else's by now is left there. */
  release(): void {
    if (!this.isLost) rmSync(this.#path, { force: true });
    closeSync(this.#fd);
  }
}

function opened(path: string): number {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    const code = codeOf(error);
    // A link, or what another user left there.
    if (code !== "ELOOP" && code !== "EACCES") throw error;
    rmSync(path, { force: true });
    return openSync(path, flags, 0o600);
  }
}
