// SPDX-License-Identifier: Apache-2.0
// Programs of ttgate that go on dropping although no gate uses their maps: of a run with another -B, or with one at all,
// that was killed or was to keep them. Whoever is lifted here goes on being blocked there.
import process from "node:process";
import { bpffsRoot, openPin, parseMapPlace } from "../../kernel/bpffs.ts";
import { listDirectory } from "../../kernel/files.ts";
import type { Libc } from "../../kernel/libc.ts";
import { type Libraries, openLibraries } from "../../kernel/libraries.ts";
import { interfaceName, queryXdp, readLinkInfo } from "../../kernel/xdp_query.ts";
import type { Native } from "../../runtime/types.ts";
import { aliveSeconds } from "./detach.ts";
import { linkSuffix, pinPaths } from "./maps/map_set.ts";
import { aliveMs } from "./maps/settings_map.ts";
import { isRunning, settingsAt } from "./occupant.ts";
import { gateTc, gateXdp, programById, tcPrograms } from "./programs.ts";

export interface LeftBehind {
  /** As --block-map names it. */
  readonly map: string;
  readonly interfaceName: string;
}

const linkPin = new RegExp(`^(.+)${linkSuffix}\\d+$`);

/**
 * Those of this network namespace; none where this user may not look.
 * @param own the map of this gate.
 */
export async function programsLeftBehind(
  native: Native,
  libc: Libc,
  own: string | undefined,
  nowMs: number,
): Promise<readonly LeftBehind[]> {
  const names = listDirectory(libc, bpffsRoot);
  if (typeof names === "number") return [];
  const ownPath = own === undefined ? undefined : parseMapPlace(own).path;
  const pins = names.flatMap((name) => {
    const map = linkPin.exec(name)?.[1];
    return map === undefined || `${bpffsRoot}/${map}` === ownPath ? [] : [{ map, path: `${bpffsRoot}/${name}` }];
  });
  if (pins.length === 0) return [];
  const libraries = await openLibraries(native);
  return pins.flatMap(({ map, path }) => {
    if (isUsed(libraries, `${bpffsRoot}/${map}`, nowMs)) return [];
    const found = interfaceOf(libraries, path);
    return found === undefined ? [] : [{ map, interfaceName: found }];
  });
}

/**
 * A gate that stopped with --keep has taken its pid away. One that stands still, or is being taken over from, gives no
 * sign of life for a while; after a minute the pid may be that of something else, in another container.
 */
function isUsed(libraries: Libraries, base: string, nowMs: number): boolean {
  const settings = settingsAt(libraries, pinPaths(base, "own").ttgate_settings);
  if (settings === undefined || settings.daemonPid === 0) return false;
  const { daemonPid, heartbeatMs } = settings;
  const ageMs = nowMs - heartbeatMs;
  if (ageMs < aliveMs) return true;
  return ageMs < aliveSeconds * 1000 && daemonPid !== process.pid && isRunning(libraries, daemonPid);
}

/** Undefined where the link holds no program of ttgate on an interface of this network namespace. */
function interfaceOf(libraries: Libraries, path: string): string | undefined {
  const pin = openPin(libraries, path);
  if (pin === undefined || typeof pin === "number") return undefined;
  using found = pin;
  if (found.kind !== "link") return undefined;
  const { kind, programId, ifindex } = readLinkInfo(libraries, found.fd);
  const name = ifindex === 0 ? undefined : interfaceName(libraries, ifindex);
  const program = programById(libraries, programId);
  const isOurs = program === undefined || program.name === gateXdp || program.name === gateTc;
  if (name === undefined || !isOurs) return undefined;
  // Of an interface with this number in another network namespace.
  const isHere =
    kind === "xdp"
      ? queryXdp(libraries, ifindex).programId === programId
      : tcPrograms(libraries, ifindex).includes(programId);
  return isHere ? name : undefined;
}
