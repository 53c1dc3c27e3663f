// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { canOpen, openFilesLimit } from "../../src/kernel/descriptor.ts";
import { type Libc, openLibc } from "../../src/kernel/libc.ts";
import { runtime } from "../../src/runtime/bun.ts";

const libc = openLibc(runtime.native);
const few = 16;
/** F_DUPFD_CLOEXEC of fcntl.h: the lowest free number from one on. */
const duplicateFrom = 1030;

/** How many files are opened to tell whether a few can be. */
function opensToTell(): number {
  let opens = 0;
  const open: Libc["calls"]["open"] = (...args) => {
    opens++;
    return libc.calls.open(...args);
  };
  expect(canOpen({ ...libc, calls: { ...libc.calls, open } }, few)).toBe(true);
  return opens;
}

test("whether a few files can be opened takes one where nobody has the last numbers, and each of them otherwise", () => {
  expect(opensToTell()).toBe(1);
  const fd = openSync("/dev/null", "r");
  const last = libc.calls.fcntl(fd, duplicateFrom, BigInt(openFilesLimit(libc) - 1));
  try {
    expect(last).toBe(openFilesLimit(libc) - 1);
    expect(opensToTell()).toBe(few);
  } finally {
    libc.calls.close(last);
    closeSync(fd);
  }
  expect(opensToTell()).toBe(1);
});

test("where all numbers are taken but for fewer, they cannot", () => {
  const limit = openFilesLimit(libc);
  const taken: number[] = [];
  try {
    for (let fd = libc.calls.fcntl(0, duplicateFrom, 0n); fd >= 0; fd = libc.calls.fcntl(0, duplicateFrom, 0n)) {
      taken.push(fd);
    }
    expect(taken.at(-1)).toBe(limit - 1);
    // The first ones: of the last numbers none is free.
    for (const fd of taken.splice(0, few - 1)) libc.calls.close(fd);
    expect(canOpen(libc, few)).toBe(false);
    libc.calls.close(taken.shift() ?? -1);
    expect(canOpen(libc, few)).toBe(true);
  } finally {
    for (const fd of taken) libc.calls.close(fd);
  }
});
