// SPDX-License-Identifier: Apache-2.0
// `ttgate detach`: removes the program, links and pins that a gate left behind. Needs no running gate.
import { readdirSync } from "node:fs";
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import type { Env } from "../cli/env.ts";
import { codeOf, Failure, messageOf } from "../failure.ts";
import type { Detached, Heartbeat } from "../fences/xdp/detach.ts";
import { currentRuntime } from "../runtime/select.ts";

const head = `Usage: ttgate detach [MAP...] [options]

Removes what ttgate left in the kernel after a crash or --keep: its program, links, pins and maps. Without MAP,
everything of ttgate under /sys/fs/bpf that no gate uses: one whose last sign of life is older than a
minute. A map that ttgate did not create stays, and so does any other program.`;

const flags = {
  "block-map": { short: "B", value: "MAP", repeats: true, help: "the same as MAP" },
  force: { help: "also remove what gave a sign of life within the last minute" },
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
  help: helpText(head, flags, { 1: "a MAP that was named is not there, or part of it stays" }),
  async run({ flags, positionals }, env) {
    const given = [...positionals, ...((flags["block-map"] ?? []) as readonly string[])];
    const force = flags["force"] === true;
    const { native } = await currentRuntime();
    const { detachFence, livingGate } = await import("../fences/xdp/detach.ts");
    const maps = given.length > 0 ? given : mapsLeftBehind(env);
    const results: (Detached & { readonly map: string })[] = [];
    for (const map of maps) {
      const gate = force ? undefined : await livingGate(native, map);
      if (gate !== undefined && given.length > 0) throw inUse(map, gate);
      const left = gate === undefined ? undefined : [{ path: map, why: `stays: ${signOfLife(gate)}` }];
      results.push({
        map,
        ...(left === undefined ? await detachFence(native, map) : { removed: [], endedEntries: 0, left }),
      });
    }
    env.stdout.line(flags["json"] === true ? JSON.stringify(results) : rendered(results));
    const missing = results.filter(
      ({ removed, endedEntries, left }) => removed.length + endedEntries + left.length === 0,
    );
    if (given.length > 0 && missing.length > 0) {
      env.stderr.line(`ttgate: Nothing of ttgate goes by the name ${missing.map(({ map }) => `"${map}"`).join(", ")}`);
    }
    // Without a name, what is not ttgate's was only looked at.
    const isBad = missing.length > 0 || results.some(({ left }) => left.length > 0);
    return given.length > 0 && isBad ? 1 : 0;
  },
};

function mapsLeftBehind({ bpffs }: Env): string[] {
  let names: string[];
  try {
    names = readdirSync(bpffs);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    const remedy = "run as root, or name the map";
    throw new Failure(`Cannot look under "${bpffs}": ${messageOf(error)}; ${remedy}`, { exitCode: 3, cause: error });
  }
  return [...new Set(names.flatMap((name) => siblings.exec(name)?.[1] ?? []))];
}

function signOfLife({ pid, secondsAgo }: Heartbeat): string {
  return `the gate with pid ${pid} is using it, its last sign of life is ${Math.round(secondsAgo)} s old`;
}

function inUse(map: string, gate: Heartbeat): Failure {
  const remedy = "stop that gate; after a crash wait a minute, or add --force";
  return new Failure(`Cannot detach "${map}": ${signOfLife(gate)}; ${remedy}`, { exitCode: 3 });
}

function rendered(results: readonly Detached[]): string {
  const lines = results.flatMap(({ removed, endedEntries, left }) => [
    ...removed.map(({ kind, path }) => `Removed ${kind} ${path}`),
    ...(endedEntries > 0 ? [`Removed ${endedEntries} entries whose time was over`] : []),
    ...left.map(({ path, why }) => `Left ${path}: it ${why}`),
  ]);
  return lines.length === 0 ? "Nothing of ttgate was left behind" : lines.join("\n");
}
