// SPDX-License-Identifier: Apache-2.0
// Takes away what ttgate left in the kernel behind a map's name: links, pins, its own maps. Needs no
// daemon and no intact set: what can be told to be ttgate's goes, everything else stays and is named. The
// heartbeat in the set says whether a gate is using it, be it in another container or PID namespace.

import { openMap, readMapInfo } from "../../kernel/bpf_map.ts";
import { bpffsRoot, openPin, type Pin, parseMapPlace, unpin } from "../../kernel/bpffs.ts";
import { kernelClock } from "../../kernel/clock.ts";
import { errnoName } from "../../kernel/errno.ts";
import { listDirectory, readText } from "../../kernel/files.ts";
import { type Libraries, openLibraries } from "../../kernel/libraries.ts";
import { interfaceIndex, readLinkInfo } from "../../kernel/xdp_query.ts";
import type { Native } from "../../runtime/types.ts";
import { removeFilter } from "./attach/clsact_filter.ts";
import { ipv4Codec } from "./maps/ban_codec.ts";
import { BanStore } from "./maps/ban_store.ts";
import { linkSuffix, ownMaps, pinPaths } from "./maps/map_set.ts";
import { settingsAt } from "./occupant.ts";
import { describeProgram, gateTc, gateXdp, programById } from "./programs.ts";

export interface Removed {
  readonly kind: "link" | "map" | "filter" | "table";
  readonly path: string;
}

export interface Detached {
  /** Pins that were removed by their paths, tc filters by their interface, nftables tables by family and name. */
  readonly removed: readonly Removed[];
  /** Entries of the documented map that were over, and were taken out. */
  readonly endedEntries: number;
  /** What has such a name and is not ttgate's, or could not be removed, and why. */
  readonly left: readonly { readonly path: string; readonly why: string }[];
}

/** What a set says of the gate that uses it. */
export interface Heartbeat {
  readonly secondsAgo: number;
  /** In the gate's own PID namespace. */
  readonly pid: number;
}

/** A gate writes one each second; one that stopped with --keep says so, and has none. */
export const aliveSeconds = 60;

/**
 * The heartbeat of a gate that may be alive; undefined where there is none, or it is old.
 * @throws Failure for a value that can name no map.
 */
export async function livingGate(native: Native, map: string): Promise<Heartbeat | undefined> {
  const place = parseMapPlace(map);
  const libraries = await openLibraries(native);
  const settings = settingsAt(libraries, pinPaths(place.path, "own").ttgate_settings);
  if (settings === undefined || settings.daemonPid === 0) return undefined;
  const { heartbeatMs, daemonPid } = settings;
  const secondsAgo = (kernelClock(libraries.libc).readMs() - heartbeatMs) / 1000;
  return secondsAgo < aliveSeconds ? { secondsAgo: Math.max(0, secondsAgo), pid: daemonPid } : undefined;
}

type Verdict = { readonly kind: "link" | "map" } | { readonly kind: "left"; readonly why: string };

/** @throws Failure for a value that can name no map. */
export async function detachFence(native: Native, map: string): Promise<Detached> {
  const place = parseMapPlace(map);
  const libraries = await openLibraries(native);
  const removed: Removed[] = filtersRemoved(libraries, place.path);
  const left: { path: string; why: string }[] = [];
  // Links first: without its program a map may go.
  const paths = [...linkPaths(libraries, place.path), ...mapPaths(place.path)];
  for (const path of new Set(paths)) {
    const verdict = examine(libraries, path, place.path);
    if (verdict === undefined) continue;
    if (verdict.kind === "left") {
      left.push({ path, why: verdict.why });
      continue;
    }
    try {
      unpin(libraries, path);
      removed.push({ kind: verdict.kind, path });
    } catch (error) {
      left.push({ path, why: error instanceof Error ? error.message : String(error) });
    }
  }
  const endedEntries = place.kind === "path" ? sweepDocumented(libraries, place.path) : 0;
  return { removed, endedEntries, left };
}

/** They are named after the settings map, so before that one goes. */
function filtersRemoved(libraries: Libraries, base: string): Removed[] {
  const pin = openPin(libraries, pinPaths(base, "own").ttgate_settings);
  if (pin === undefined || typeof pin === "number") return [];
  using found = pin;
  if (found.kind !== "map") return [];
  const { id } = readMapInfo(libraries, found.fd);
  const names = [...readText(libraries.libc, "/proc/thread-self/net/dev").matchAll(/^\s*([^\s:]+):/gm)].map(
    ([, name]) => name ?? "",
  );
  const guarded = names.filter((name) => removeFilter(libraries, interfaceIndex(libraries, name), id));
  return guarded.map((path) => ({ kind: "filter", path }));
}

function linkPaths(libraries: Libraries, base: string): string[] {
  const directory = base.slice(0, base.lastIndexOf("/")) || bpffsRoot;
  const names = listDirectory(libraries.libc, directory);
  if (typeof names === "number") return [];
  const prefix = base.slice(directory.length + 1) + linkSuffix;
  const links = names.filter((name) => name.startsWith(prefix) && /^[0-9]+$/.test(name.slice(prefix.length)));
  return links.map((name) => `${directory}/${name}`);
}

function mapPaths(base: string): string[] {
  return [...Object.values(pinPaths(base, "ipv4")), base];
}

/** Undefined when there is nothing. Links of ours are taken off at once. */
function examine(libraries: Libraries, path: string, base: string): Verdict | undefined {
  const pin = openPin(libraries, path);
  if (pin === undefined) return undefined;
  if (typeof pin === "number") return { kind: "left", why: `cannot be opened (${errnoName(-pin)})` };
  using found = pin;
  const isLink = path.startsWith(base + linkSuffix);
  return isLink ? examineLink(libraries, found) : examineMap(libraries, found, path === base);
}

function examineLink(libraries: Libraries, pin: Pin): Verdict {
  if (pin.kind !== "link") return { kind: "left", why: `is a ${pin.kind}, not a link` };
  const { kind, programId } = readLinkInfo(libraries, pin.fd);
  const program = programById(libraries, programId);
  // A program that cannot be looked at, under a name that only ttgate gives, is taken for ttgate's.
  const ours = kind !== "other" && (program === undefined || program.name === gateXdp || program.name === gateTc);
  if (!ours) return { kind: "left", why: `is a link of ${describeProgram(libraries, programId)}` };
  libraries.bpf.bpf_link_detach(pin.fd);
  return { kind: "link" };
}

/** The kernel keeps each map's name: those of our layouts begin so, in every version. */
function examineMap(libraries: Libraries, pin: Pin, named: boolean): Verdict | undefined {
  if (pin.kind !== "map") return { kind: "left", why: `is a ${pin.kind}, not a map` };
  const { name } = readMapInfo(libraries, pin.fd);
  if (ownMaps.some((own) => own === name)) return { kind: "map" };
  // The documented map belongs to whoever made it.
  return named ? undefined : { kind: "left", why: `is the map "${name}", not one of ttgate` };
}

function sweepDocumented(libraries: Libraries, path: string): number {
  const pin = openPin(libraries, path);
  if (pin === undefined || typeof pin === "number") return 0;
  using found = pin;
  if (found.kind !== "map") return 0;
  const map = openMap(libraries, found.fd);
  const { keyBytes, valueBytes, type } = map.info;
  const isHash = type === 1 || type === 9;
  if (!isHash || keyBytes !== 4 || (valueBytes !== 4 && valueBytes !== 8)) return 0;
  const nowMs = kernelClock(libraries.libc).readMs();
  const store = new BanStore(path, map, ipv4Codec(valueBytes));
  for (const _ of store.records(() => nowMs));
  return store.ended;
}
