// SPDX-License-Identifier: Apache-2.0
// What a test needs of the host: without it the test is skipped, and the run says why (in CI a kernel test
// that is skipped fails: scripts/junit.ts).
import { describe, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { notApart } from "./apart.ts";
import { notBuilt, ttgate } from "./gate.ts";
import { noNamespaces } from "./netns.ts";

const needs = {
  root: () => (process.getuid?.() === 0 ? undefined : "it needs root"),
  apart: notApart,
  namespaces: () => noNamespaces() ?? notApart(),
  executable: notBuilt,
  vrf: () => {
    const made = spawnSync("unshare", ["--net", "ip", "link", "add", "red", "type", "vrf", "table", "10"]);
    return made.status === 0 ? undefined : "this kernel has no VRF";
  },
  deno: () => {
    const [deno = ""] = ttgate([], "deno");
    return existsSync(deno) ? undefined : `"${deno}" is not there: run make deps`;
  },
} as const;

/** One of the above, or a program that is looked for in PATH. */
export type Need = keyof typeof needs | { readonly program: string };

/** `describe`, skipped where one of the needs is not met. */
export function describeWith(...wanted: readonly Need[]) {
  return describe.skipIf(isUnmet(wanted));
}

/** `test`, skipped where one of the needs is not met. */
export function testWith(...wanted: readonly Need[]) {
  return test.skipIf(isUnmet(wanted));
}

const said = new Set<string>();

function isUnmet(wanted: readonly Need[]): boolean {
  const reasons = wanted.map(reasonOf).filter((reason) => reason !== undefined);
  const text = `Skipped: ${reasons.join("; ")}`;
  if (reasons.length > 0 && !said.has(text)) console.log(text);
  said.add(text);
  return reasons.length > 0;
}

function reasonOf(need: Need): string | undefined {
  if (typeof need === "string") return needs[need]();
  return Bun.which(need.program) === null ? `"${need.program}" is not installed: run make deps` : undefined;
}
