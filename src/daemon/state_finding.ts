// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of the directory that bans are kept in, and which disk that is: of one that is not mounted
// there is an empty directory at best.
import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Config } from "../config/options.ts";
import { messageOf } from "../failure.ts";
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
  const above = dirname(directory);
  if (!existsSync(above)) {
    const remedy = `mount its disk, or mkdir -p ${above}`;
    return { name, state: "bad", found: `${directory}: there is no directory ${above}`, remedy };
  }
  const isThere = existsSync(directory);
  try {
    if (isThere && !statSync(directory).isDirectory()) throw new Error("it is no directory");
    accessSync(isThere ? directory : above, constants.W_OK | constants.X_OK);
  } catch (error) {
    const remedy = "make it writable, or name another with --state";
    return { name, state: "bad", found: `${directory}: ${messageOf(error)}`, remedy };
  }
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
