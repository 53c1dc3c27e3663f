// SPDX-License-Identifier: Apache-2.0
// `ttgate detach`: removes the program, links and pins that a gate left behind. Needs no running gate.
import { readdirSync } from "node:fs";
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import type { Env } from "../cli/env.ts";
import { runningInstances } from "../daemon/instance.ts";
import { Failure } from "../failure.ts";
import type { Detached } from "../fences/xdp/detach.ts";
import { currentRuntime } from "../runtime/select.ts";

const head = `Usage: ttgate detach [MAP...] [options]

Removes what ttgate left in the kernel after a crash or --keep: its program, links, pins and maps. Without MAP,
everything of ttgate under /sys/fs/bpf that no running gate uses. A map that ttgate did not create stays, and so
does any other program.`;

const flags = {
  "block-map": { short: "B", value: "MAP", repeats: true, help: "the same as MAP" },
  force: { help: "also remove what a running gate uses" },
  json: jsonFlag,
  help: helpFlag,
} as const;

/** What the pins beside a map are called: docs/map.md. */
const siblings = /^(.+)_(link_\d+|settings|counters|cidr|v6)$/;

export const detach: Command = {
  name: "detach",
  usage: "[MAP...]",
  about: "remove the program and pins that were left behind",
  flags,
  help: helpText(head, flags),
  async run({ flags, positionals }, env) {
    const given = [...positionals, ...((flags["block-map"] ?? []) as readonly string[])];
    const force = flags["force"] === true;
    if (!force) for (const map of given) refuseInUse(map, env);
    const maps = given.length > 0 ? given : mapsLeftBehind(env).filter((map) => force || !userOf(map, env));
    const results = await detachAll(maps);
    env.stdout.line(flags["json"] === true ? JSON.stringify(results) : rendered(results));
    // Without a name, what is not ttgate's was only looked at.
    return given.length > 0 && results.some(({ left }) => left.length > 0) ? 1 : 0;
  },
};

async function detachAll(maps: readonly string[]): Promise<(Detached & { readonly map: string })[]> {
  const { native } = await currentRuntime();
  const { detachFence } = await import("../fences/xdp/detach.ts");
  const results: (Detached & { readonly map: string })[] = [];
  for (const map of maps) {
    results.push({ map, ...(await detachFence(native, map)) });
  }
  return results;
}

function mapsLeftBehind({ bpffs }: Env): string[] {
  let names: string[];
  try {
    names = readdirSync(bpffs);
  } catch {
    return [];
  }
  return [...new Set(names.flatMap((name) => siblings.exec(name)?.[1] ?? []))];
}

/** @returns the pid of the gate that uses it. */
function userOf(map: string, { bpffs, runDirectory }: Env): number | undefined {
  const path = (name: string) => (name.startsWith("/") ? name : `${bpffs}/${name}`);
  return runningInstances(runDirectory).find(({ blockMap }) => blockMap !== undefined && path(blockMap) === path(map))
    ?.pid;
}

function refuseInUse(map: string, env: Env): void {
  const pid = userOf(map, env);
  if (pid === undefined) return;
  const remedy = `stop it first (kill ${pid}), or add --force`;
  throw new Failure(`Cannot detach "${map}": the gate with pid ${pid} is using it; ${remedy}`, { exitCode: 3 });
}

function rendered(results: readonly Detached[]): string {
  const lines = results.flatMap(({ removed, endedEntries, left }) => [
    ...removed.map(({ kind, path }) => `Removed ${kind} ${path}`),
    ...(endedEntries > 0 ? [`Removed ${endedEntries} entries whose time was over`] : []),
    ...left.map(({ path, why }) => `Left ${path}: it ${why}`),
  ]);
  return lines.length === 0 ? "Nothing of ttgate was left behind" : lines.join("\n");
}
