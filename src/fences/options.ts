// SPDX-License-Identifier: Apache-2.0
// What every fence is opened with, whatever blocks.
import type { Log } from "../log.ts";
import type { Native } from "../runtime/types.ts";

export interface FenceOptions {
  readonly native: Native;
  /** As -B says it: an absolute path, a bare name under /sys/fs/bpf, or `id:N`. */
  readonly map: string;
  readonly interfaces: readonly string[];
  /** Guarded TCP ports. */
  readonly ports: readonly number[];
  readonly scope: "port" | "host";
  /** What an IPv6 source is masked to. */
  readonly ipv6PrefixBits: number;
  /** Milliseconds since boot. */
  readonly nowMs: () => number;
  readonly log: Log;
}
