// SPDX-License-Identifier: Apache-2.0
// Files that somebody wrote by hand: configuration, profiles, keys. They are read again with each reload, by a gate
// that must neither wait for them nor stand still because of their size.
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

/** A list of a hundred thousand networks takes 2 MiB, a learned profile 100 KiB. */
const limitMiB = 8;
const limitBytes = limitMiB * 1024 * 1024;
const chunkBytes = 65_536;

/** @throws Error for what is no such file: too long, without an end, a pipe that nobody may ever write to. */
export function readSmallFile(path: string): Uint8Array {
  const found = statSync(path);
  if (found.isDirectory()) throw new Error("it is a directory; name a file");
  // A shell's <(command) is none that has to be waited for.
  if (found.isFIFO() && !/^\/(dev|proc)\//.test(path)) {
    throw new Error("it is a named pipe, which would be waited for; name a file");
  }
  const fd = openSync(path, "r");
  try {
    const bytes = readUpTo(fd, limitBytes + 1);
    if (bytes.length > limitBytes) throw new Error(`it has more than ${limitMiB} MiB, or no end; name another file`);
    // What came out of it at the start does not come again.
    if (bytes.length === 0 && fstatSync(fd).isFIFO()) throw new Error("it is a pipe with nothing in it; name a file");
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** At most so many bytes of it, whatever it is. @throws Error */
export function readBeginning(path: string, limit: number): Uint8Array {
  const fd = openSync(path, "r");
  try {
    return readUpTo(fd, limit);
  } finally {
    closeSync(fd);
  }
}

/** The same of UTF-8, without a byte order mark. */
export function readSmallText(path: string): string {
  return new TextDecoder().decode(readSmallFile(path));
}

function readUpTo(fd: number, limit: number): Uint8Array {
  let bytes = new Uint8Array(Math.min(limit, chunkBytes));
  let length = 0;
  while (length < limit) {
    if (length === bytes.length) {
      const larger = new Uint8Array(Math.min(limit, 2 * length));
      larger.set(bytes);
      bytes = larger;
    }
    const count = readSync(fd, bytes, length, Math.min(chunkBytes, bytes.length - length), null);
    if (count === 0) break;
    length += count;
  }
  return bytes.slice(0, length);
}
