// SPDX-License-Identifier: Apache-2.0
// Somebody else's XDP program, on the gate's interface.
import { resolve } from "node:path";
import { run } from "./child.ts";
import { type BlockMap, bpftool } from "./gate.ts";
import type { Network } from "./netns.ts";
import { TempDir } from "./temp_dir.ts";

/** @param reads the pin of the map that it looks into; without it, one of its own. @throws Error with what a tool said. */
export async function attachForeign(
  network: Pick<Network, "gate" | "device">,
  map: BlockMap,
  reads?: string,
): Promise<void> {
  const pin = await loadForeign(map, reads);
  const link = ["ip", "link", "set", "dev", network.device, "xdp", "pinned", pin];
  const attached = await run(link, { namespace: network.gate });
  if (attached.code !== 0) throw new Error(`Cannot attach "${pin}": ${attached.stderr}`);
}

/** @returns where it is pinned: beside the map, with which it goes. @throws Error with what a tool said. */
export async function loadForeign(map: BlockMap, reads?: string): Promise<string> {
  using directory = new TempDir();
  const object = directory.file("foreign.o");
  const multiarch = (await run(["gcc", "-print-multiarch"])).stdout.trim();
  const source = resolve(import.meta.dirname, "../kernel/reader.bpf.c");
  const flags = ["-O2", "-g", "-target", "bpf", `-I/usr/include/${multiarch}`];
  const compiled = await run(["clang", ...flags, "-c", source, "-o", object]);
  if (compiled.code !== 0) throw new Error(`Cannot compile "${source}": ${compiled.stderr}`);
  const pin = `${map.path}_foreign`;
  const reuse = reads === undefined ? [] : ["map", "name", "blocked", "pinned", reads];
  bpftool(["prog", "load", object, pin, ...reuse]);
  return pin;
}
