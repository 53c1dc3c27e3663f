// SPDX-License-Identifier: Apache-2.0
// Somebody else's XDP program, compiled and loaded by their tools: clang and bpftool.
import { TempDir } from "../harness/temp_dir.ts";
import { type Sandbox, shell } from "./sandbox.ts";

/** Pins it at `<path>_reader`; reads the map at this path, or one of its own. */
export function loadReader(sandbox: Sandbox, map: string | undefined): string {
  using directory = new TempDir();
  const object = directory.file("reader.bpf.o");
  const multiarch = `-I/usr/include/${shell("uname", "-m").trim()}-linux-gnu`;
  const source = new URL("reader.bpf.c", import.meta.url).pathname;
  shell("clang", "-O2", "-g", "-target", "bpf", multiarch, "-c", source, "-o", object);
  const pin = `${sandbox.path}_reader`;
  const reuse = map === undefined ? [] : ["map", "name", "blocked", "pinned", map];
  shell("bpftool", "prog", "load", object, pin, ...reuse);
  return pin;
}

export function attachReader(sandbox: Sandbox, pin: string): void {
  shell("ip", "link", "set", "dev", sandbox.network.device, "xdp", "pinned", pin);
}
