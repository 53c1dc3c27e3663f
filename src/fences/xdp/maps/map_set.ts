// SPDX-License-Identifier: Apache-2.0
// The maps behind -B: the one that was named, of ttgate's own layout or the documented one of an
// operator, and what stands beside it. Opens what is there and refuses what does not fit, before anything
// in it is read or written.

import { dirname } from "node:path";
import { Failure, Unsupported } from "../../../failure.ts";
import { type MapInfo, mapTypes, openMap, readMapInfo } from "../../../kernel/bpf_map.ts";
import { closeFd, type MapPlace, openPin } from "../../../kernel/bpffs.ts";
import { errnoName } from "../../../kernel/errno.ts";
import { access } from "../../../kernel/files.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { layoutVersion, outcomes, readSettings, structBytes } from "./layout.ts";

const eacces = 13;
/** include/uapi/linux/bpf.h: what a map's maker denied to every program. */
const programsMayNotWrite = 1 << 7;
const programsMayNotRead = 1 << 8;

export type Flavour =
  /** ttgate's own layout: the named map holds every exact ban. */
  | { readonly kind: "own" }
  /** The documented map of IPv4 addresses; what does not fit into it is beside it. */
  | { readonly kind: "ipv4"; readonly valueBytes: 4 | 8 };

interface Geometry {
  readonly types: readonly string[];
  readonly keyBytes: number;
  readonly valueBytes: number;
}

/** The maps of bpf/maps.h, by their names there. */
const geometries = {
  ttgate_bans: { types: ["hash"], keyBytes: structBytes.ban_key, valueBytes: structBytes.ban },
  ttgate_cidr: { types: ["lpm_trie"], keyBytes: structBytes.cidr_key, valueBytes: structBytes.ban },
  ttgate_settings: { types: ["array"], keyBytes: 4, valueBytes: structBytes.settings },
  ttgate_counters: { types: ["percpu_array"], keyBytes: 4, valueBytes: structBytes.counter },
} as const satisfies Record<string, Geometry>;

export type OwnMap = keyof typeof geometries;
export const ownMaps = Object.keys(geometries) as OwnMap[];

/** Pins beside the named map. `ttgate_bans` is the named map itself, unless that is an operator's. */
const suffixes: Readonly<Record<OwnMap, string>> = {
  ttgate_bans: "_v6",
  ttgate_cidr: "_cidr",
  ttgate_settings: "_settings",
  ttgate_counters: "_counters",
};
export const linkSuffix = "_link_";

/** Where each of our maps is pinned. */
export function pinPaths(base: string, flavour: Flavour["kind"]): Readonly<Record<OwnMap, string>> {
  const beside = (map: OwnMap): string => base + suffixes[map];
  return {
    ttgate_bans: flavour === "own" ? base : beside("ttgate_bans"),
    ttgate_cidr: beside("ttgate_cidr"),
    ttgate_settings: beside("ttgate_settings"),
    ttgate_counters: beside("ttgate_counters"),
  };
}

/** The map that -B names, opened. */
export interface NamedMap {
  /** Its path, or `id:N`. */
  readonly name: string;
  readonly flavour: Flavour;
  readonly fd: number;
  readonly info: MapInfo;
}

/**
 * @returns undefined when there is no such map yet: ttgate's own is to be made.
 * @throws Failure when it is there and cannot be used.
 */
export function openNamedMap(libraries: Libraries, place: MapPlace): NamedMap | undefined {
  const shown = place.kind === "id" ? `id:${place.id}` : place.path;
  const fd = place.kind === "id" ? openById(libraries, place.id) : openByPath(libraries, place.path);
  if (fd === undefined) return undefined;
  try {
    const info = readMapInfo(libraries, fd);
    const flavour = flavourOf(shown, info);
    const named = { name: shown, flavour, fd, info };
    requireUsable(libraries, shown, named);
    return named;
  } catch (error) {
    closeFd(libraries, fd);
    throw error;
  }
}

function openById({ bpf }: Libraries, id: number): number {
  const fd = bpf.bpf_map_get_fd_by_id(id);
  if (fd >= 0) return fd;
  const remedy =
    fd === -1
      ? "a map by its id needs root or CAP_SYS_ADMIN: pin it and give the path"
      : 'no map has this id: look it up with "bpftool map"';
  throw new Failure(`Block map "id:${id}": ${remedy} (${errnoName(-fd)})`);
}

function openByPath(libraries: Libraries, path: string): number | undefined {
  const found = openPin(libraries, path);
  if (found === undefined) return undefined;
  if (typeof found === "number") {
    if (access(libraries.libc, path) === -eacces) {
      const directory = dirname(path);
      const remedy = "run as root, or open the directory to this user";
      throw new Unsupported(`Block map "${path}": ${directory} is closed to this user (EACCES): ${remedy}`);
    }
    const remedy =
      found === -1 || found === -13
        ? "run as root, or as the user who may read and write it with CAP_BPF and CAP_NET_ADMIN"
        : "name another map, or remove it";
    throw new Failure(`Block map "${path}": cannot be opened (${errnoName(-found)}): ${remedy}`);
  }
  if (found.kind === "map") return found.fd;
  found[Symbol.dispose]();
  throw new Failure(`Block map "${path}": is a pinned ${found.kind}, not a map: name another path`);
}

function flavourOf(shown: string, info: MapInfo): Flavour {
  const type = mapTypes[info.type] ?? `type ${info.type}`;
  const found = `${type} with key ${info.keyBytes} and value ${info.valueBytes}`;
  const refuse = (expected: string): Failure =>
    new Failure(`Block map "${shown}": found ${found}, expected ${expected}`);
  if (fits(info, geometries.ttgate_bans)) return { kind: "own" };
  if (info.keyBytes === 16 && info.type === 1) {
    throw refuse(
      `value ${structBytes.ban} (layout ${layoutVersion}): remove what another version made with "ttgate detach -B ${shown}"`,
    );
  }
  if (type !== "hash" && type !== "lru_hash") throw refuse("a hash or lru_hash with key 4 and value 4 or 8");
  if (info.keyBytes !== 4) throw refuse("key 4 (an IPv4 address): name a map that is not there, and ttgate makes it");
  if (info.valueBytes !== 4 && info.valueBytes !== 8) {
    throw refuse("value 4 (seconds since boot) or 8 (nanoseconds): make it again with one of these");
  }
  return { kind: "ipv4", valueBytes: info.valueBytes };
}

function fits(info: MapInfo, geometry: Geometry): boolean {
  const type = mapTypes[info.type] ?? "";
  return (
    geometry.types.includes(type) && info.keyBytes === geometry.keyBytes && info.valueBytes === geometry.valueBytes
  );
}

function requireUsable(libraries: Libraries, shown: string, { flavour, fd, info }: NamedMap): void {
  const refuse = (state: string): Failure =>
    new Failure(`Block map "${shown}": ${state}: name another map, or make it again without that`);
  if ((info.flags & programsMayNotRead) !== 0) throw refuse("no program may read it (BPF_F_WRONLY_PROG)");
  if (flavour.kind === "own" && (info.flags & programsMayNotWrite) !== 0) {
    throw refuse("no program may count in it (BPF_F_RDONLY_PROG)");
  }
  if (openMap(libraries, fd).isFrozen()) throw refuse("is frozen, no entry can be written");
}

/** Ours that are pinned already, from a process before. The caller closes them. */
export function openSiblings(
  libraries: Libraries,
  base: string,
  flavour: Flavour["kind"],
): Partial<Record<OwnMap, number>> {
  const found: Partial<Record<OwnMap, number>> = {};
  try {
    for (const map of ownMaps) {
      const path = pinPaths(base, flavour)[map];
      if (path === base) continue;
      const fd = openSibling(libraries, path, map);
      if (fd !== undefined) found[map] = fd;
    }
    if (found.ttgate_settings !== undefined) requireLayout(libraries, base, found.ttgate_settings);
    return found;
  } catch (error) {
    for (const fd of Object.values(found)) closeFd(libraries, fd);
    throw error;
  }
}

function openSibling(libraries: Libraries, path: string, map: OwnMap): number | undefined {
  const found = openPin(libraries, path);
  if (found === undefined) return undefined;
  const refuse = (state: string): Failure =>
    new Failure(`Pin "${path}": ${state}: remove it with rm ${path}, or use another map name`);
  if (typeof found === "number") throw refuse(`cannot be opened (${errnoName(-found)})`);
  try {
    if (found.kind !== "map") throw refuse(`is a ${found.kind}, not the map ${map}`);
    const info = readMapInfo(libraries, found.fd);
    const { types, keyBytes, valueBytes } = geometries[map];
    if (!fits(info, geometries[map]) || (map === "ttgate_counters" && info.maxEntries !== outcomes.length)) {
      const type = mapTypes[info.type] ?? `type ${info.type}`;
      throw refuse(
        `found ${type} with key ${info.keyBytes} and value ${info.valueBytes}, expected ${types[0]} with key ${keyBytes} and value ${valueBytes}`,
      );
    }
    return found.fd;
  } catch (error) {
    found[Symbol.dispose]();
    throw error;
  }
}

function requireLayout(libraries: Libraries, base: string, settingsFd: number): void {
  const value = openMap(libraries, settingsFd).lookup(nativeBytes(4));
  const found = value === undefined ? undefined : readSettings(value);
  if (found?.kind !== "other") return;
  throw new Failure(
    `Block map "${base}": its layout is version ${found.layout}, this ttgate knows version ${layoutVersion}: ` +
      `run the version that made it, or remove it with "ttgate detach -B ${base}"`,
  );
}
