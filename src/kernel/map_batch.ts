// SPDX-License-Identifier: Apache-2.0
// Many entries of a map in one system call (hashes since 5.6, the trie since 5.13), and one by one where
// the kernel has no such call. A batch that fails tells how far it came: what is behind goes on.
import type { NativeBuffer } from "../runtime/types.ts";
import { check, KernelError } from "./errno.ts";
import type { LibbpfCalls } from "./libbpf.ts";
import { nativeBytes } from "./native_bytes.ts";

/** What a batch needs to know of a map. */
export interface BatchedMap {
  readonly fd: number;
  readonly name: string;
  readonly keyBytes: number;
  /** Of all CPUs where each has its own. */
  readonly valueBytes: number;
  batches: boolean;
  /** Of the last walk through it, for the next. */
  buffers?: WalkBuffers | undefined;
  lookup(key: NativeBuffer): NativeBuffer | undefined;
  update(key: NativeBuffer, value: NativeBuffer, flags: bigint): number;
  delete(key: NativeBuffer): boolean;
}

interface WalkBuffers {
  readonly size: number;
  readonly keys: NativeBuffer;
  readonly values: NativeBuffer;
}

/** Entries side by side in buffers that the next slice reuses. */
export interface MapSlice {
  readonly keys: NativeBuffer;
  readonly values: NativeBuffer;
  readonly count: number;
}

const enoent = -2;
const enospc = -28;
/** A whole bucket has to fit in: 64 is more than a hash of a sane load ever has in one. */
const sliceMinimum = 64;

/** ENOTSUPP: this map type has no batch call. EINVAL: this kernel has none. */
function isMissing(result: number): boolean {
  return result === -524 || result === -95 || result === -22;
}

function counter(): { readonly buffer: NativeBuffer; value: number } {
  const buffer = nativeBytes(4);
  const view = new DataView(buffer.buffer);
  return {
    buffer,
    get value() {
      return view.getUint32(0, true);
    },
    set value(value) {
      view.setUint32(0, value, true);
    },
  };
}

function slot(buffer: NativeBuffer, index: number, size: number): NativeBuffer {
  return buffer.subarray(index * size, (index + 1) * size);
}

/** @returns true when there is no batch call for this map; nothing was read then. */
export function* batchSlices(bpf: LibbpfCalls, map: BatchedMap, wanted: number): Generator<MapSlice, boolean, void> {
  const room = (size: number): WalkBuffers => ({
    ...{ size, keys: nativeBytes(size * map.keyBytes), values: nativeBytes(size * map.valueBytes) },
  });
  const least = Math.max(wanted, sliceMinimum);
  const kept = map.buffers;
  let buffers = kept !== undefined && kept.size >= least ? kept : room(least);
  // A walk that begins before this one is over has its own.
  map.buffers = undefined;
  const count = counter();
  // A hash puts a bucket's number here, the trie a key.
  const token = nativeBytes(Math.max(16, map.keyBytes));
  let from: NativeBuffer | null = null;
  for (;;) {
    const { size, keys, values } = buffers;
    count.value = size;
    const result = bpf.bpf_map_lookup_batch(map.fd, from, token, keys, values, count.buffer, null);
    if (from === null && isMissing(result)) {
      map.batches = false;
      return true;
    }
    if (result === enospc) {
      buffers = room(2 * size);
      continue;
    }
    // ENOENT marks the last slice, which may hold entries all the same.
    if (result !== enoent) check(`Read map "${map.name}"`, result);
    from = token;
    const read = count.value;
    if (read > 0) yield { keys, values, count: read };
    if (result === enoent) {
      map.buffers = buffers;
      return false;
    }
  }
}

/** The next key is fetched before the caller may delete this one: the walk would start over. */
export function* keySlices(bpf: LibbpfCalls, map: BatchedMap, size: number): Generator<MapSlice, void, void> {
  const keys = nativeBytes(size * map.keyBytes);
  const values = nativeBytes(size * map.valueBytes);
  let key: NativeBuffer | null = null;
  let filled = 0;
  for (;;) {
    const next = nativeBytes(map.keyBytes);
    const result = bpf.bpf_map_get_next_key(map.fd, key, next);
    if (filled === size || (result === enoent && filled > 0)) {
      yield { keys, values, count: filled };
      filled = 0;
    }
    if (result === enoent) return;
    check(`Read map "${map.name}"`, result);
    key = next;
    const value = map.lookup(next);
    if (value === undefined) continue;
    keys.set(next, filled * map.keyBytes);
    values.set(value, filled * map.valueBytes);
    filled++;
  }
}

/** @returns -errno of those that were refused, by their place. */
export function updateBatches(
  bpf: LibbpfCalls,
  map: BatchedMap,
  keys: NativeBuffer,
  values: NativeBuffer,
  total: number,
): ReadonlyMap<number, number> {
  const failures = new Map<number, number>();
  const count = counter();
  let start = 0;
  while (map.batches && start < total) {
    const rest = total - start;
    count.value = rest;
    const keysLeft = keys.subarray(start * map.keyBytes);
    const result = bpf.bpf_map_update_batch(
      map.fd,
      keysLeft,
      values.subarray(start * map.valueBytes),
      count.buffer,
      null,
    );
    if (result >= 0) return failures;
    if (isMissing(result)) map.batches = false;
    // Refused before the first entry: each gets its own answer below.
    if (isMissing(result) || count.value >= rest) break;
    failures.set(start + count.value, result);
    start += count.value + 1;
  }
  for (; start < total; start++) {
    const result = map.update(slot(keys, start, map.keyBytes), slot(values, start, map.valueBytes), 0n);
    if (result < 0) failures.set(start, result);
  }
  return failures;
}

/** @returns how many were there. */
export function deleteBatches(bpf: LibbpfCalls, map: BatchedMap, keys: NativeBuffer, total: number): number {
  const count = counter();
  let deleted = 0;
  let start = 0;
  while (map.batches && start < total) {
    const rest = total - start;
    count.value = rest;
    const result = bpf.bpf_map_delete_batch(map.fd, keys.subarray(start * map.keyBytes), count.buffer, null);
    if (result >= 0) return deleted + rest;
    if (isMissing(result)) map.batches = false;
    if (isMissing(result) || count.value >= rest) break;
    if (result !== enoent) throw new KernelError(`Delete from map "${map.name}"`, -result);
    deleted += count.value;
    start += count.value + 1;
  }
  for (; start < total; start++) if (map.delete(slot(keys, start, map.keyBytes))) deleted++;
  return deleted;
}
