// SPDX-License-Identifier: Apache-2.0
// One opened BPF map: bytes in, bytes out. Uses the kernel's batch calls and does without where they
// are missing (the trie has none before 5.13). Knows no layout; geometry is for the caller to check
// before the first use, since a value of another size overwrites memory.
import type { NativeBuffer } from "../runtime/types.ts";
import { check, KernelError } from "./errno.ts";
import type { Libraries } from "./libraries.ts";

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

const enoent = -2;
const enospc = -28;
/** One bucket has to fit in: 64 is more than a hash of a sane load ever has in one. */
const sliceMinimum = 64;

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

/** Entries side by side in buffers that the next slice reuses. */
export interface MapSlice {
  readonly keys: NativeBuffer;
  readonly values: NativeBuffer;
  readonly count: number;
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
  /** Every entry, about `size` at a time. What is written meanwhile may or may not be in it. */
  slices(size: number): Generator<MapSlice, void, void>;
  /** @returns 0 or -errno for each; one for all when everything went well. */
  updateMany(keys: NativeBuffer, values: NativeBuffer, count: number): ReadonlyMap<number, number>;
  /** @returns how many were there. */
  deleteMany(keys: NativeBuffer, count: number): number;
}

function bytes(length: number): NativeBuffer {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A copy of its own for each entry: the calls take whole buffers, not offsets into shared ones. */
function slot(buffer: NativeBuffer, index: number, size: number): NativeBuffer {
  return buffer.subarray(index * size, (index + 1) * size);
}

function setCount(count: NativeBuffer, value: number): void {
  new DataView(count.buffer).setUint32(0, value, true);
}

function getCount(count: NativeBuffer): number {
  return new DataView(count.buffer).getUint32(0, true);
}

/** @throws KernelError when the descriptor is not a map's. */
export function readMapInfo({ bpf }: Libraries, fd: number): MapInfo {
  const info = bytes(88);
  const length = bytes(4);
  setCount(length, info.length);
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
  const valueBytes = perCpu ? Math.ceil(info.valueBytes / 8) * 8 * cpus : info.valueBytes;
  const found = bytes(valueBytes);
  const nextKey = bytes(info.keyBytes);
  const count = bytes(4);

  const map: BpfMap = {
    fd,
    info,
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
    isEmpty: () => bpf.bpf_map_get_next_key(fd, null, nextKey) === enoent,
    *slices(size) {
      let unread = true;
      if (map.batches) unread = yield* batchSlices(Math.max(size, sliceMinimum));
      if (unread) yield* keySlices(size);
    },
    updateMany(keys, values, total) {
      const failures = new Map<number, number>();
      let start = 0;
      while (map.batches && start < total) {
        setCount(count, total - start);
        const result = bpf.bpf_map_update_batch(
          fd,
          keys.subarray(start * info.keyBytes),
          values.subarray(start * valueBytes),
          count,
          null,
        );
        if (result >= 0) return failures;
        if (isMissing(result)) {
          map.batches = false;
          break;
        }
        const done = getCount(count);
        if (done >= total - start) break;
        failures.set(start + done, result);
        start += done + 1;
      }
      for (; start < total; start++) {
        const result = map.update(slot(keys, start, info.keyBytes), slot(values, start, valueBytes), updateAny);
        if (result < 0) failures.set(start, result);
      }
      return failures;
    },
    deleteMany(keys, total) {
      let deleted = 0;
      let start = 0;
      while (map.batches && start < total) {
        setCount(count, total - start);
        const result = bpf.bpf_map_delete_batch(fd, keys.subarray(start * info.keyBytes), count, null);
        if (isMissing(result)) {
          map.batches = false;
          break;
        }
        const done = getCount(count);
        if (done >= total - start && result < 0) break;
        deleted += done;
        if (result >= 0) return deleted;
        if (result !== enoent) throw new KernelError(`Delete from map "${info.name}"`, -result);
        start += done + 1;
      }
      for (; start < total; start++) if (map.delete(slot(keys, start, info.keyBytes))) deleted++;
      return deleted;
    },
  };

  /** @returns true when the kernel has no batch call for this map, before anything was read. */
  function* batchSlices(wanted: number): Generator<MapSlice, boolean, void> {
    let size = wanted;
    let keys = bytes(size * info.keyBytes);
    let values = bytes(size * valueBytes);
    // A hash puts a bucket's number here, the trie a key.
    const token = bytes(Math.max(16, info.keyBytes));
    let started = false;
    for (;;) {
      setCount(count, size);
      const result = bpf.bpf_map_lookup_batch(fd, started ? token : null, token, keys, values, count, null);
      if (isMissing(result) && !started) {
        map.batches = false;
        return true;
      }
      if (result === enospc) {
        size *= 2;
        keys = bytes(size * info.keyBytes);
        values = bytes(size * valueBytes);
        continue;
      }
      if (result !== enoent) check(`Read map "${info.name}"`, result);
      const read = getCount(count);
      started = true;
      if (read > 0) yield { keys, values, count: read };
      if (result === enoent) return false;
    }
  }

  /** The next key is fetched before the caller may delete this one: the walk would start over. */
  function* keySlices(size: number): Generator<MapSlice, void, void> {
    const keys = bytes(size * info.keyBytes);
    const values = bytes(size * valueBytes);
    let key: NativeBuffer | null = null;
    let filled = 0;
    for (;;) {
      const next = bytes(info.keyBytes);
      const result = bpf.bpf_map_get_next_key(fd, key, next);
      if (filled === size || (result === enoent && filled > 0)) {
        yield { keys, values, count: filled };
        filled = 0;
      }
      if (result === enoent) return;
      check(`Read map "${info.name}"`, result);
      const value = map.lookup(next);
      key = next;
      if (value === undefined) continue;
      keys.set(next, filled * info.keyBytes);
      values.set(value, filled * valueBytes);
      filled++;
    }
  }

  return map;
}

/** ENOTSUPP: this map type has no batch call. EINVAL: this kernel has none at all. */
function isMissing(result: number): boolean {
  return result === -524 || result === -22 || result === -95;
}
