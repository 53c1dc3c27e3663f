// SPDX-License-Identifier: Apache-2.0
// `ttgate detach`: removes the program, links and pins that a gate left behind. Needs no running gate.
import { readdirSync } from "node:fs";
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import type { Env } from "../cli/env.ts";
import { codeOf, Failure, messageOf, Unsupported } from "../failure.ts";
import type { Detached, Heartbeat } from "../fences/xdp/detach.ts";
import { currentRuntime } from "../runtime/select.ts";
import type { Native } from "../runtime/types.ts";

const head = `Usage: ttgate detach [MAP...] [options]

Removes what ttgate left in the kernel after a crash or --keep: its program, links, pins and maps, and its
nftables table. Without MAP, everything of ttgate under /sys/fs/bpf, and in this network namespace's nftables, that no
gate uses: one whose last sign of life is older than a
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
    const ofPins = given.length > 0 ? given : mapsLeftBehind(env);
    const results: Result[] = [];
    for (const map of ofPins) results.push(await detachMap(native, map, { force, isNamed: given.length > 0 }));
    for (const table of given.length > 0 ? [] : await tablesApart(ofPins)) {
      results.push({ map: table, ...(await detachTable(table, { force, isNamed: false })), endedEntries: 0 });
    }
    const missing = results.filter(
      ({ removed, endedEntries, left }) => removed.length + endedEntries + left.length === 0,
    );
    const isToldOfAll = given.length === 0 || missing.length < results.length;
    if (flags["json"] === true) env.stdout.line(JSON.stringify(results));
    else if (isToldOfAll) env.stdout.line(rendered(results));
    if (given.length > 0 && missing.length > 0) {
      env.stderr.line(`ttgate: Nothing of ttgate goes by the name ${missing.map(({ map }) => `"${map}"`).join(", ")}`);
    }
    // Without a name, what is not ttgate's was only looked at.
    const isBad = missing.length > 0 || results.some(({ left }) => left.length > 0);
    return given.length > 0 && isBad ? 1 : 0;
  },
};

type Result = Detached & { readonly map: string };

interface DetachOptions {
  readonly force: boolean;
  /** It was asked for by its name: what uses it is a failure then. */
  readonly isNamed: boolean;
}

/** What stands for a map in either kind of fence. */
async function detachMap(native: Native, map: string, options: DetachOptions): Promise<Result> {
  const { tableOf } = await import("../fences/nftables/ruleset.ts");
  const pins = await detachPins(native, map, options);
  const table = await detachTable(tableOf(map), options);
  return {
    map,
    removed: [...pins.removed, ...table.removed],
    endedEntries: pins.endedEntries,
    left: [...pins.left, ...table.left],
  };
}

async function detachPins(native: Native, map: string, { force, isNamed }: DetachOptions): Promise<Detached> {
  const { detachFence, livingGate } = await import("../fences/xdp/detach.ts");
  try {
    const gate = force ? undefined : await livingGate(native, map);
    if (gate === undefined) return await detachFence(native, map);
    if (isNamed) throw inUse(map, signOfLife(gate));
    return { removed: [], endedEntries: 0, left: [{ path: map, why: `stays: ${signOfLife(gate)}` }] };
  } catch (error) {
    // Where there is no BPF, nothing of it was left.
    if (error instanceof Unsupported) return { removed: [], endedEntries: 0, left: [] };
    throw error;
  }
}

async function detachTable(
  table: string,
  { force, isNamed }: DetachOptions,
): Promise<Pick<Detached, "removed" | "left">> {
  const { findTable, removeTable } = await import("../fences/nftables/detach.ts");
  const found = await findTable(table);
  if (found === undefined) return { removed: [], left: [] };
  const { name, pid } = found;
  if (pid !== undefined && !force) {
    const why = `the gate with pid ${pid} is using it`;
    if (isNamed) throw inUse(name, why);
    return { removed: [], left: [{ path: name, why: `stays: ${why}` }] };
  }
  await removeTable(table);
  return { removed: [{ kind: "table", path: name }], left: [] };
}

/** Tables of maps that have no pins. */
async function tablesApart(maps: readonly string[]): Promise<readonly string[]> {
  const { tablesLeftBehind } = await import("../fences/nftables/detach.ts");
  const { tableOf } = await import("../fences/nftables/ruleset.ts");
  const known = new Set(maps.map(tableOf));
  return (await tablesLeftBehind()).filter((table) => !known.has(table));
}

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

function inUse(what: string, why: string): Failure {
  const remedy = "stop that gate; after a crash wait a minute, or add --force";
  return new Failure(`Cannot detach "${what}": ${why}; ${remedy}`, { exitCode: 3 });
}

function rendered(results: readonly Detached[]): string {
  const lines = results.flatMap(({ removed, endedEntries, left }) => [
    ...removed.map(({ kind, path }) => `Removed ${kind} ${path}`),
    ...(endedEntries > 0 ? [`Removed ${endedEntries} entries whose time was over`] : []),
    ...left.map(({ path, why }) => `Left ${path}: it ${why}`),
  ]);
  return lines.length === 0 ? "Nothing of ttgate was left behind" : lines.join("\n");
}
