// SPDX-License-Identifier: Apache-2.0
// The path of a unix socket before somebody listens there: what a dead process left is removed, what is
// in use or is no socket is not touched.
import { lstatSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import { codeOf, Failure, messageOf } from "../failure.ts";
import { makeDirectory } from "./own_directory.ts";

/** For the owner alone, from the moment that the socket is there. */
const ownerOnly = 0o177;
/** A connection to a unix socket stands at once or not at all; this is for what nobody thought of. */
const answerMs = 1000;

/**
 * Makes room for a listener on a path.
 * @throws Failure when something stands there that is not a dead process's socket.
 */
export async function freeSocketPath(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw taken(path, "there is something that is no socket; remove it");
  if (isListening(path) || (await answers(path))) throw taken(path, "another process listens there; stop it");
  rmSync(path, { force: true });
}

/** The socket has a mode of its own. @throws Failure */
export function makeDirectoryOf(path: string): void {
  try {
    makeDirectory(dirname(path), 0o755);
  } catch (error) {
    throw taken(path, messageOf(error));
  }
}

/** Runs what makes the socket so that nobody else can ever connect to it. */
export async function forOwnerOnly<T>(make: () => Promise<T>): Promise<T> {
  const before = process.umask(ownerOnly);
  try {
    return await make();
  } finally {
    process.umask(before);
  }
}

function taken(path: string, why: string): Failure {
  return new Failure(`Cannot listen on "unix:${path}": ${why}, or choose another path with --status`, { exitCode: 3 });
}

/** In this network namespace the kernel tells; Bun reports a full backlog like no listener at all. */
export function isListening(path: string): boolean {
  const listening = "00010000";
  return readFileSync("/proc/self/net/unix", "utf8")
    .split("\n")
    .some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === listening);
}

/** In another namespace only a try does. Whoever takes the connection, even to drop it at once, is alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.setTimeout(answerMs, () => socket.destroy());
    socket.once("connect", () => socket.destroy());
    socket.once("error", (error) => resolve(codeOf(error) !== "ECONNREFUSED"));
    socket.once("close", () => resolve(true));
  });
}
