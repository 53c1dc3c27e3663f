// SPDX-License-Identifier: Apache-2.0
// bpf/bench.bpf.c, compiled for the occasion as the Makefile compiles the gate, and loaded: the gate's
// programs and what they are measured against, over the same maps.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { structBytes } from "../../src/fences/xdp/maps/layout.ts";
import { openMap } from "../../src/kernel/bpf_map.ts";
import { type BpfObject, loadObject } from "../../src/kernel/bpf_object.ts";
import { check } from "../../src/kernel/errno.ts";
import type { Libraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { guardedPort } from "../bpf/gate.ts";
import type { TempDir } from "../harness/temp_dir.ts";

const root = join(import.meta.dirname, "../..");
const xdpHasFrags = 1 << 5;

/** @throws Error with what the compiler said. */
export function compileBench(directory: TempDir): NativeBuffer {
  const output = directory.file("bench.bpf.o");
  const architecture = execFileSync("gcc", ["-print-multiarch"], { encoding: "utf8" }).trim();
  const flags = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", `-I/usr/include/${architecture}`];
  execFileSync("clang", [...flags, "-c", join(root, "bpf/bench.bpf.c"), "-o", output]);
  const file = readFileSync(output);
  const bytes = nativeBytes(file.length);
  bytes.set(file);
  return bytes;
}

/** As production loads it on a kernel that has everything. */
export function loadBench(
  libraries: Libraries,
  bytes: NativeBuffer,
  programs: readonly string[],
  constants: Readonly<Record<string, number>> = {},
): BpfObject {
  const documented = (constants["ipv4_value_size"] ?? 0) > 0;
  const object = loadObject(libraries, bytes, {
    reuse: {},
    create: [
      ...["ttgate_bans", "ttgate_cidr", "ttgate_settings", "ttgate_counters", "bare_ipv4", "bare_bans"],
      ...(documented ? ["ipv4_bans"] : []),
    ],
    programs: Object.fromEntries(
      programs.map((name) => [name, name.startsWith("gate_") && !name.includes("tc") ? xdpHasFrags : 0]),
    ),
    constants: { multi_buffer: 1, ...constants },
  });
  const settings = nativeBytes(structBytes.settings);
  const view = new DataView(settings.buffer);
  view.setUint32(0, 0x74746774, true);
  view.setUint32(4, 1, true);
  view.setUint32(12, 64, true);
  view.setUint32(20, 1, true);
  view.setUint16(24, guardedPort, true);
  const result = libraries.bpf.bpf_map_update_elem(object.mapFd("ttgate_settings"), nativeBytes(4), settings, 0n);
  check("Write the settings", result);
  return object;
}

/** Bans 10.0.0.0 and the addresses behind it, for decades. */
export function banSources(libraries: Libraries, object: BpfObject, count: number, map: string): void {
  const bans = openMap(libraries, object.mapFd(map));
  const keys = nativeBytes(count * bans.info.keyBytes);
  const values = nativeBytes(count * bans.info.valueBytes);
  const keyView = new DataView(keys.buffer);
  const valueView = new DataView(values.buffer);
  for (let index = 0; index < count; index++) {
    const key = index * bans.info.keyBytes;
    if (bans.info.keyBytes === 16) keyView.setUint16(key + 10, 0xffff);
    keyView.setUint32(key + bans.info.keyBytes - 4, 0x0a000000 + index);
    const value = index * bans.info.valueBytes;
    if (bans.info.valueBytes === 4) valueView.setUint32(value, 0x7fff_ffff, true);
    else valueView.setBigUint64(value, 1n << 62n, true);
  }
  const refused = bans.updateMany(keys, values, count);
  if (refused.size > 0) throw new Error(`Cannot ban ${count} sources: ${refused.size} were refused`);
}
