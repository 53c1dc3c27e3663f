// SPDX-License-Identifier: Apache-2.0
// Somebody else's XDP program, compiled and loaded by their tools: clang and bpftool.
import { closeFd, openPin } from "../../src/kernel/bpffs.ts";
import { check } from "../../src/kernel/errno.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { type Sandbox, shell } from "./sandbox.ts";

/** Pins it at `<path>_reader`; reads the map at this path, or one of its own. */
export function loadReader(sandbox: Sandbox, map: string | undefined): string {
  return load(sandbox, "reader", map === undefined ? [] : ["map", "name", "blocked", "pinned", map]);
}

/** Attaches one that needs no map until the sandbox is over. @param target an interface's index, or a descriptor. */
export async function attachFirst(
  sandbox: Pick<Sandbox, "native" | "path" | "defer">,
  name: "chooser" | "decider",
  target: number,
  type: number,
  flags = 0,
): Promise<() => void> {
  const libraries = await openLibraries(sandbox.native);
  const known = openPin(libraries, `${sandbox.path}_${name}`);
  const program = known ?? openPin(libraries, load(sandbox, name, []));
  if (program === undefined || typeof program === "number") throw new Error(`No program "${name}"`);
  const options = nativeBytes(64);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 64n, true);
  view.setUint32(8, flags, true);
  const link = check(`Attach "${name}"`, libraries.bpf.bpf_link_create(program.fd, target, type, options));
  program[Symbol.dispose]();
  let isOff = false;
  const takeOff = () => {
    if (!isOff) closeFd(libraries, link);
    isOff = true;
  };
  sandbox.defer(takeOff);
  return takeOff;
}

function load(sandbox: Pick<Sandbox, "path">, name: string, reuse: readonly string[]): string {
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
