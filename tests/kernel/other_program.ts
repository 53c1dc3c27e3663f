// SPDX-License-Identifier: Apache-2.0
// Somebody else's XDP program, compiled and loaded by their tools: clang and bpftool.
import { TempDir } from "../harness/temp_dir.ts";
import { type Sandbox, shell } from "./sandbox.ts";

/** Pins it at `<path>_reader`; reads the map at this path, or one of its own. */
export function loadReader(sandbox: Sandbox, map: string | undefined): string {
  return load(sandbox, "reader", map === undefined ? [] : ["map", "name", "blocked", "pinned", map]);
}

/** Pins it at `<path>_chooser`. */
export function loadChooser(sandbox: Sandbox): string {
  return load(sandbox, "chooser", []);
}

function load(sandbox: Sandbox, name: string, reuse: readonly string[]): string {
  using directory = new TempDir();
  const object = directory.file(`${name}.bpf.o`);
  const multiarch = `-I/usr/include/${shell("uname", "-m").trim()}-linux-gnu`;
  const source = new URL(`${name}.bpf.c`, import.meta.url).pathname;
  shell("clang", "-O2", "-g", "-target", "bpf", multiarch, "-c", source, "-o", object);
  const pin = `${sandbox.path}_${name}`;
  shell("bpftool", "prog", "load", object, pin, ...reuse);
  return pin;
}

export function attachReader(sandbox: Sandbox, pin: string): void {
  shell("ip", "link", "set", "dev", sandbox.network.device, "xdp", "pinned", pin);
}
