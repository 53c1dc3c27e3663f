// SPDX-License-Identifier: Apache-2.0
// What bpftool has no words for: another program in a link, a value of any size in a map.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { closeFd, openPin } from "../../src/kernel/bpffs.ts";
import { check } from "../../src/kernel/errno.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { bpftool } from "./gate.ts";

/** Puts a program into the place of the one that a link holds; both by their pins. */
export async function updateLink(link: string, program: string): Promise<void> {
  const libraries = await openLibraries(native);
  using pinned = required(openPin(libraries, link), link);
  using other = required(openPin(libraries, program), program);
  check("Update the link", libraries.bpf.bpf_link_update(pinned.fd, other.fd, null));
}

function required<T extends object>(found: T | number | undefined, path: string): T {
  if (typeof found === "object") return found;
  throw new Error(`Cannot open the pin "${path}": ${found}`);
}

interface MapShown {
  readonly id: number;
  readonly name: string;
  readonly bytes_value: number;
  readonly max_entries: number;
}

/** Zeros in every place of an array that a process has; @param name as far as the kernel keeps it. */
export async function clearArray(pid: number, name: string): Promise<void> {
  const libraries = await openLibraries(native);
  const map = mapsOf(pid).find((candidate) => candidate.name === name);
  if (map === undefined) throw new Error(`Process ${pid} has no map "${name}"`);
  const fd = check(`Open map ${map.id}`, libraries.bpf.bpf_map_get_fd_by_id(map.id));
  try {
    const value = nativeBytes(map.bytes_value);
    for (let index = 0; index < map.max_entries; index++) {
      const key = nativeBytes(4);
      new DataView(key.buffer).setUint32(0, index, true);
      check(`Clear map "${name}"`, libraries.bpf.bpf_map_update_elem(fd, key, value, 0n));
    }
  } finally {
    closeFd(libraries, fd);
  }
}

/** Of those that it has now: some are open for a moment only. */
function mapsOf(pid: number): readonly MapShown[] {
  const directory = `/proc/${pid}/fdinfo`;
  const ids = readdirSync(directory).flatMap((fd) => {
    const path = `${directory}/${fd}`;
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    return Number(/^map_id:\s+(\d+)$/m.exec(text)?.[1]);
  });
  const all = bpftool(["map", "show"]) as readonly MapShown[];
  return all.filter(({ id }) => ids.includes(id));
}
