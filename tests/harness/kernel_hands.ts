// SPDX-License-Identifier: Apache-2.0
// What bpftool has no words for: another program in a link, a value of any size in a map.
import { closeFd, openPin } from "../../src/kernel/bpffs.ts";
import { check } from "../../src/kernel/errno.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { bpftool, xdpPrograms } from "./gate.ts";

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

/** Zeros in every place of an array that the XDP program of an interface has; @param name as far as the kernel keeps it. */
export async function clearArray(namespace: string, device: string, name: string): Promise<void> {
  const libraries = await openLibraries(native);
  const [program] = xdpPrograms(namespace, device);
  const { map_ids = [] } = bpftool(["prog", "show", "id", String(program)]) as { map_ids?: number[] };
  const maps = map_ids.map(
    (id) =>
      bpftool(["map", "show", "id", String(id)]) as {
        id: number;
        name: string;
        bytes_value: number;
        max_entries: number;
      },
  );
  const map = maps.find((candidate) => candidate.name === name);
  if (map === undefined) throw new Error(`No map "${name}" among ${maps.map((found) => found.name)}`);
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
