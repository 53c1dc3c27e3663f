// SPDX-License-Identifier: Apache-2.0
// What a program has counted, in a per-CPU array by outcome.

import type { BpfMap } from "../../../kernel/bpf_map.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import { type OutcomeCount, sumCounter } from "./layout.ts";

/** The key of an array's element. */
export function indexKey(index: number): NativeBuffer {
  const key = nativeBytes(4);
  new DataView(key.buffer).setUint32(0, index, true);
  return key;
}

/** Of all CPUs. */
export function readCounter(counters: BpfMap, index: number): OutcomeCount {
  const value = counters.lookup(indexKey(index));
  return value === undefined ? { packets: 0, bytes: 0 } : sumCounter(value);
}
