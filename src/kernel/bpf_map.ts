// SPDX-License-Identifier: Apache-2.0
// One opened BPF map: bytes in, bytes out. Knows no layout; geometry is for the caller to check before
// the first use, since a value of another size overwrites memory.
import type { NativeBuffer } from "../runtime/types.ts";
import { check } from "./errno.ts";
import type { Libraries } from "./libraries.ts";
import { type BatchedMap, batchSlices, deleteBatches, keySlices, type MapSlice, updateBatches } from "./map_batch.ts";
import { nativeBytes } from "./native_bytes.ts";

/** include/uapi/linux/bpf.h, enum bpf_map_type. */
export const mapTypes: Readonly<Record<number, string>> = {
  1: "hash",
  2: "array",
  3: "prog_array",
  4: "perf_event_array",
  5: "percpu_hash",
  6: "percpu_array",
  9: "lru_hash",
  10: "lru_percpu_hash",
  11: "lpm_trie",
  27: "ringbuf",
};

/** include/uapi/linux/bpf.h */
export const updateAny = 0n;
export const updateOnlyNew = 1n;

/** BPF_NOEXIST and BPF_EXIST at once. */
const noFlags = 3n;

const eperm = -1;
const enoent = -2;

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

export interface BpfMap {
  readonly fd: number;
  readonly info: MapInfo;
  /** False turns the batch calls off; set when the kernel says that it has none for this map. */
  batches: boolean;
  /** Undefined when the key is not there. The buffer is reused by the next lookup. */
  lookup(key: NativeBuffer): NativeBuffer | undefined;
  /** 0 or -errno. */
  update(key: NativeBuffer, value: NativeBuffer, flags: bigint): number;
  /** False when the key was not there. */
  delete(key: NativeBuffer): boolean;
  isEmpty(): boolean;
  /** True when no process can write to it any more. */
  isFrozen(): boolean;
  /** Every entry, about `size` at a time. What is written meanwhile may or may not be in it. */
  slices(size: number): Generator<MapSlice, void, void>;
  /** @returns -errno of those that were refused, by their place. */
  updateMany(keys: NativeBuffer, values: NativeBuffer, count: number): ReadonlyMap<number, number>;
  /** @returns how many were there. */
  deleteMany(keys: NativeBuffer, count: number): number;
}

/** @throws KernelError when the descriptor is not a map's. */
export function readMapInfo({ bpf }: Libraries, fd: number): MapInfo {
  const info = nativeBytes(88);
  const length = nativeBytes(4);
  new DataView(length.buffer).setUint32(0, info.length, true);
  check("Read the map's geometry", bpf.bpf_obj_get_info_by_fd(fd, info, length));
  const view = new DataView(info.buffer);
  const name = info.subarray(24, 40);
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keyBytes: view.getUint32(8, true),
    valueBytes: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
  };
}

/** The caller keeps the descriptor and closes it. */
export function openMap(libraries: Libraries, fd: number): BpfMap {
  const { bpf } = libraries;
  const info = readMapInfo(libraries, fd);
  const perCpu = (mapTypes[info.type] ?? "").includes("percpu");
  const cpus = perCpu ? check("Count the CPUs", bpf.libbpf_num_possible_cpus()) : 1;
  // Each CPU's value begins at a multiple of 8.
  const valueBytes = perCpu ? Math.ceil(info.valueBytes / 8) * 8 * cpus : info.valueBytes;
  const found = nativeBytes(valueBytes);
  const nextKey = nativeBytes(info.keyBytes);

  const map: BpfMap & BatchedMap = {
    fd,
    info,
    name: info.name,
    keyBytes: info.keyBytes,
    valueBytes,
    batches: true,
    lookup(key) {
      const result = bpf.bpf_map_lookup_elem(fd, key, found);
      if (result === enoent) return undefined;
      check(`Look up in map "${info.name}"`, result);
      return found;
    },
    update: (key, value, flags) => bpf.bpf_map_update_elem(fd, key, value, flags),
    delete(key) {
      const result = bpf.bpf_map_delete_elem(fd, key);
      if (result === enoent) return false;
      check(`Delete from map "${info.name}"`, result);
      return true;
    },
    // Refused for that before its flags are looked at, which no map takes: nothing is ever written.
    isFrozen: () => bpf.bpf_map_update_elem(fd, nextKey, found, noFlags) === eperm,
    isEmpty: () => bpf.bpf_map_get_next_key(fd, null, nextKey) === enoent,
    *slices(size) {
      if (!map.batches || (yield* batchSlices(bpf, map, size))) yield* keySlices(bpf, map, size);
    },
    updateMany: (keys, values, count) => updateBatches(bpf, map, keys, values, count),
    deleteMany: (keys, count) => deleteBatches(bpf, map, keys, count),
  };
  return map;
}
