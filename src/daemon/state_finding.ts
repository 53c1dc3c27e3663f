// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of the directory that bans are kept in, and which disk that is: of one that is not mounted
// there is an empty directory at best.
import { accessSync, constants, lstatSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import type { Config } from "../config/options.ts";
import { codeOf, messageOf } from "../failure.ts";
import type { Finding } from "./finding.ts";
import { stateDirectoryOf } from "./state/state.ts";

const name = "state";

export function stateFinding(config: Pick<Config, "state">): Finding {
  const given = stateDirectoryOf(config);
  if (given === undefined) {
    const found = "no directory: bans are forgotten when ttgate stops";
    return { name, state: "warning", found, remedy: "mkdir -m 700 /var/lib/ttgate; or name one with --state" };
  }
  const directory = resolve(given);
  try {
    return findingOf(directory);
  } catch (error) {
    const found = `${directory}: ${messageOf(error)}`;
    // A start by root, or by systemd, has the access that is missing here.
    if (codeOf(error) === "EACCES" && process.geteuid?.() !== 0) {
      return { name, state: "warning", found, remedy: "only root sees it: sudo ttgate doctor" };
    }
    return { name, state: "bad", found, remedy: "make it writable, or name another with --state" };
  }
}

/** @throws Error when it cannot be used. */
function findingOf(directory: string): Finding {
  const above = dirname(directory);
  if (statSync(above, { throwIfNoEntry: false }) === undefined) {
    const remedy = `mount its disk, or mkdir -p ${above}`;
    return { name, state: "bad", found: `${directory}: there is no directory ${above}`, remedy };
  }
  const there = statSync(directory, { throwIfNoEntry: false });
  if (there === undefined && lstatSync(directory, { throwIfNoEntry: false }) !== undefined) {
    const found = `${directory}: it leads to a directory that is not there`;
    return { name, state: "bad", found, remedy: "mount its disk" };
  }
  if (there?.isDirectory() === false) throw new Error("it is no directory");
  const isThere = there !== undefined;
  accessSync(isThere ? directory : above, constants.W_OK | constants.X_OK);
  const disk = `on the disk that is mounted at ${mountPointOf(isThere ? directory : above)}`;
  return {
    name,
    state: "good",
    found: isThere ? `${directory}, ${disk}` : `${directory}, which a start makes, ${disk}`,
    remedy: null,
  };
}

/** The highest directory of the same file system. */
function mountPointOf(path: string): string {
  let at = realpathSync(path);
  const { dev } = statSync(at);
  while (at !== "/" && statSync(dirname(at)).dev === dev) at = dirname(at);
  return at;
}
