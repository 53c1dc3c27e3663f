// SPDX-License-Identifier: Apache-2.0
// Milliseconds since boot (CLOCK_BOOTTIME, which goes on while the machine sleeps). It is read once in a while; the
// runtime's monotonic clock fills in between.
import { readFileSync, readlinkSync } from "node:fs";
import { uptime } from "node:os";
import { clockUsec, type Libc } from "./libc.ts";

/** The monotonic clock stands still during a suspend: after one, it takes this long to be noticed. */
const resyncMs = 1000;
/** Whole seconds need readings at many places within one to be any good. */
const coarseResyncMs = 50;

export interface UptimeSource {
  readonly resyncMs: number;
  /** Never more than the true time since boot. */
  readMs(): number;
}

/**
 * A clock that never goes back. At most one step of its source behind when it starts, and closer with
 * each reading: the difference of both clocks is at least what every reading says, so the greatest wins.
 */
export function bootClock(source: UptimeSource = uptimeSource()): () => number {
  let offsetMs = Number.NEGATIVE_INFINITY;
  let syncedMs = Number.NEGATIVE_INFINITY;
  return () => {
    const monotonicMs = performance.now();
    if (monotonicMs - syncedMs >= source.resyncMs) {
      const readMs = source.readMs();
      // Behind the reading: whatever it took, the first native call a tenth of a second, makes the offset smaller.
      syncedMs = performance.now();
      offsetMs = Math.max(offsetMs, readMs - syncedMs);
      return syncedMs + offsetMs;
    }
    return monotonicMs + offsetMs;
  };
}

/** As programs in the kernel have it; also where /proc has nothing but processes. */
export function kernelClock(libc: Libc): UptimeSource {
  const aheadMs = namespaceOffsetMs();
  return { resyncMs, readMs: () => Number(clockUsec(libc, "boot")) / 1000 - aheadMs };
}

/** What this process's clock is ahead of the kernel's own (time_namespaces(7)): "boottime SECONDS NANOSECONDS". */
function namespaceOffsetMs(): number {
  try {
    // The file tells of the children's namespace, which is another one after unshare(2) without a fork.
    if (readlinkSync("/proc/self/ns/time") !== readlinkSync("/proc/self/ns/time_for_children")) return 0;
    const offsets = readFileSync("/proc/self/timens_offsets", "latin1");
    const [, seconds = 0, nanoseconds = 0] = /^boottime\s+(-?\d+)\s+(\d+)/m.exec(offsets) ?? [];
    return Number(seconds) * 1000 + Number(nanoseconds) / 1e6;
  } catch {
    // The kernel is older than 5.5, or may not be asked.
    return 0;
  }
}

/**
 * Without a native call: /proc/uptime counts in steps of 10 ms. Deno opens nothing under /proc for a process with a
 * list of permissions: then whole seconds, which sysinfo(2) rounds up.
 */
function uptimeSource(): UptimeSource {
  const readMs = () => Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1000;
  try {
    readMs();
    return { resyncMs, readMs };
  } catch {
    return { resyncMs: coarseResyncMs, readMs: () => (Math.floor(uptime()) - 1) * 1000 };
  }
}
