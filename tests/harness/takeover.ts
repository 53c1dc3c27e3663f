// SPDX-License-Identifier: Apache-2.0
// A gate as a process that takes over finds it.
import { readFileSync } from "node:fs";
import type { RunningGate } from "./gate.ts";
import { waitFor } from "./wait.ts";

export function takeoverPath(gate: RunningGate): string {
  return `/run/ttgate/${gate.child.pid}.takeover`;
}

/** Waits until it can be taken over from. */
export async function handsOver(gate: RunningGate): Promise<void> {
  // Flags of a socket that listens: net/unix/af_unix.c, unix_seq_show.
  const listens = new RegExp(` 00010000 .* ${takeoverPath(gate)}$`, "m");
  await waitFor("a gate that hands over", () => listens.test(readFileSync(`/proc/${gate.child.pid}/net/unix`, "utf8")));
}
