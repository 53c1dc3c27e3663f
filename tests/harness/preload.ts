// SPDX-License-Identifier: Apache-2.0
// Loaded before every test file (bunfig.toml). Started by hand, `bun test FILE` begins again apart from this
// host, where that is possible; scripts/test.ts did so already. A test that hung never left its scopes, and
// bun test ends without the process's exit event, so that what is still open is put back here.
import { afterAll } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { undoEverything } from "./undo.ts";

const apart = resolve(import.meta.dirname, "../../scripts/apart.sh");

if (process.env["TTGATE_APART"] === undefined && spawnSync(apart, ["true"]).status === 0) {
  const [, ...args] = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
  process.exit(spawnSync(apart, [process.execPath, ...args], { stdio: "inherit" }).status ?? 1);
}

afterAll(undoEverything);
