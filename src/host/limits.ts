// SPDX-License-Identifier: Apache-2.0
// How many connections this process can hold without running out of descriptors: at the limit Bun spins
// in accept() and Deno's listener stops for good, so the gate stays below it.
import { readFileSync } from "node:fs";
import type { Runtime } from "../runtime/types.ts";

/** Libraries, maps, links, status connections, epoll. */
const reservedDescriptors = 128;
/** Deno accepts a whole backlog (511) before it counts. */
const denoBacklog = 512;

export function descriptorLimit(): number {
  const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return line === undefined || line === "unlimited" ? Number.POSITIVE_INFINITY : Number(line);
}

/** A relayed connection takes two descriptors. */
export function connectionLimit(runtime: Runtime["name"], descriptors: number): number {
  const reserved = reservedDescriptors + (runtime === "deno" ? denoBacklog : 0);
  return Math.max(1, Math.floor((Math.min(descriptors, 2_000_000) - reserved) / 2));
}
