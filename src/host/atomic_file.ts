// SPDX-License-Identifier: Apache-2.0
// Writes a file whole or not at all, and replaces one that is there only when told to.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { codeOf, Failure, messageOf } from "../failure.ts";

/**
 * Before the work whose result is to be written, so that it is not done in vain.
 * @throws Failure when the file is there, or cannot be.
 */
export function requireWritable(path: string, replace: boolean): void {
  if (!replace && existsSync(path)) throw isThere(path);
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (cause) {
    const remedy = "check the directory and its permissions";
    throw new Failure(`Write "${path}": ${messageOf(cause)}; ${remedy}`, { exitCode: 2, cause });
  }
}

/** @throws Failure when it cannot be written; then nothing of it is there. */
export function writeWhole(path: string, text: string, replace: boolean, mode = 0o644): void {
  const temporary = temporaryBeside(path);
  try {
    const fd = openSync(temporary, "wx", mode);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    // A link, unlike a rename, does not replace what somebody else has put there in the meantime.
    if (replace) renameSync(temporary, path);
    else linkSync(temporary, path);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST" && existsSync(path)) throw isThere(path);
    throw unwritten(path, cause);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Replaces the file; a disk that hangs holds nobody up but the caller. One at a time for a path.
 * @throws Failure when it cannot be written; then what was there still is.
 */
export async function replaceWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    throw unwritten(path, cause);
  } finally {
    await rm(temporary, { force: true });
  }
}

function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
}

function unwritten(path: string, cause: unknown): Failure {
  return new Failure(`Write "${path}": ${messageOf(cause)}; name another file`, { exitCode: 3, cause });
}

function isThere(path: string): Failure {
  return new Failure(`Write "${path}": it is there already; name another file, or replace it with --force`, {
    exitCode: 2,
  });
}
