// SPDX-License-Identifier: Apache-2.0
// `ttgate detach`: remove program, links and pins that a gate left behind. Needs no gate that runs.
import { readdirSync } from "node:fs";
import { flagHelp, parseCommandLine } from "../cli.ts";
import { runningInstances } from "../daemon/instance.ts";
import { Failure } from "../failure.ts";
import type { Detached } from "../fences/xdp/detach.ts";
import { currentRuntime } from "../runtime/select.ts";

const about = `Usage: ttgate detach [MAP...] [options]

Removes what ttgate left in the kernel, after a crash or --keep: its program, links, pins and maps. Without MAP
everything of ttgate under /sys/fs/bpf that no gate is using. A map that ttgate did not make stays; so does anybody else's program.`;

export const detachFlags = {
  "block-map": { short: "B", value: "MAP", repeats: true, help: "the same as MAP" },
  force: { help: "also what a gate that runs is using" },
  json: { help: "print JSON" },
  help: { short: "h", help: "this text" },
} as const;

const bpffs = "/sys/fs/bpf";
/** What the pins beside a map are called: docs/map.md. */
const siblings = /^(.+)_(link_\d+|settings|counters|cidr|v6)$/;

export async function detach(args: readonly string[]): Promise<number> {
  const { flags, positionals } = parseCommandLine(args, detachFlags, "detach ");
  if (flags["help"] === true) {
    console.log(`${about}\n\nOptions:\n${flagHelp(detachFlags)}`);
    return 0;
  }
  const given = [...positionals, ...((flags["block-map"] ?? []) as readonly string[])];
  const force = flags["force"] === true;
  if (!force) for (const map of given) refuseInUse(map);
  const maps = given.length > 0 ? given : mapsLeftBehind().filter((map) => force || userOf(map) === undefined);
  const { native } = await currentRuntime();
  const { detachFence } = await import("../fences/xdp/detach.ts");
  const results: (Detached & { readonly map: string })[] = [];
  for (const map of maps) {
    results.push({ map, ...(await detachFence(native, map)) });
  }
  console.log(flags["json"] === true ? JSON.stringify(results) : rendered(results));
  // Without a name, what is not ttgate's was only looked at.
  return given.length > 0 && results.some(({ left }) => left.length > 0) ? 1 : 0;
}

function mapsLeftBehind(): string[] {
  let names: string[];
  try {
    names = readdirSync(bpffs);
  } catch {
    return [];
  }
  return [...new Set(names.flatMap((name) => siblings.exec(name)?.[1] ?? []))];
}

function userOf(map: string): number | undefined {
  const path = (name: string) => (name.startsWith("/") ? name : `${bpffs}/${name}`);
  return runningInstances().find(({ blockMap }) => blockMap !== undefined && path(blockMap) === path(map))?.pid;
}

function refuseInUse(map: string): void {
  const pid = userOf(map);
  if (pid === undefined) return;
  const remedy = `stop it first (kill ${pid}), or say --force`;
  throw new Failure(`Cannot detach "${map}": the gate with pid ${pid} is using it; ${remedy}`, { exitCode: 3 });
}

function rendered(results: readonly Detached[]): string {
  const lines = results.flatMap(({ removed, endedEntries, left }) => [
    ...removed.map(({ kind, path }) => `Removed ${kind} ${path}`),
    ...(endedEntries > 0 ? [`Removed ${endedEntries} entries that were over`] : []),
    ...left.map(({ path, why }) => `Left ${path}: it ${why}`),
  ]);
  return lines.length === 0 ? "Nothing of ttgate was left behind" : lines.join("\n");
}
