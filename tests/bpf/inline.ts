// SPDX-License-Identifier: Apache-2.0
// The programs of bpf/inline.bpf.c, loaded with maps of their own; and the engine for signature tables by
// itself: its verdict on bytes (BPF_PROG_TEST_RUN), without an allocation, so that a million is quick.
import { tableLimits } from "../../src/core/signature/table.ts";
import { inlineMaps } from "../../src/fences/xdp/inline/inline_maps.ts";
import { ownMaps } from "../../src/fences/xdp/maps/map_set.ts";
import { bpfObject } from "../../src/generated/inline_object.ts";
import { type BpfObject, loadObject } from "../../src/kernel/bpf_object.ts";
import { check } from "../../src/kernel/errno.ts";
import type { Libraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";

/** How the XDP programs read packets (bpf/frame.h): from kernel 5.18, and before. */
export const readings = ["helpers", "pointers"] as const;
export type Reading = (typeof readings)[number];

const xdpHasFrags = 1 << 5;

export function loadInline(libraries: Libraries, program: string, reading: Reading): BpfObject {
  const hasHelpers = reading === "helpers";
  return loadObject(libraries, Uint8Array.fromBase64(bpfObject), {
    reuse: {},
    create: [...ownMaps, ...inlineMaps],
    programs: { [program]: hasHelpers && program !== "gate_tc" ? xdpHasFrags : 0 },
    constants: { multi_buffer: hasHelpers ? 1 : 0 },
  });
}

/** enum verdict_kind. */
export const verdictOpen = 0;
export const verdictPass = 1;
export const verdictForeign = 2;
export const verdictMalformed = 3;

export const kindOf = (verdict: number): number => verdict & 3;
export const ownerOf = (verdict: number): number => verdict >>> 2;

export interface Engine extends Disposable {
  readonly programFd: number;
  /** The table that is used from here on. */
  use(table: Uint8Array): void;
  /** VERDICT() of bpf/signatures.h on the first `length` bytes, at least one. */
  verdict(bytes: Uint8Array, length: number): number;
  /** The mean of so many verdicts on the same bytes, whole nanoseconds. */
  nanoseconds(bytes: Uint8Array, repeat: number): number;
}

const ethernetBytes = 14;
/** Fits one page with the kernel's headroom. */
const frameBytes = 2048;
/** What the program returns when it cannot judge. */
const failed = 0xffff_ffff;
/** struct signatures has room behind the table. */
const tableValueBytes = tableLimits.bytes + 64;

export function openEngine(libraries: Libraries, reading: Reading): Engine {
  const { bpf, native } = libraries;
  const object = loadInline(libraries, "sniff_frame", reading);
  const programFd = object.programFd("sniff_frame");
  const frame = nativeBytes(frameBytes);
  const payload = frame.subarray(ethernetBytes);
  // struct bpf_test_run_opts {sz; data_in; ...; u32 data_size_in at 24, data_size_out; u32 retval at 56, repeat, duration; ...}
  const options = nativeBytes(80);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 80n, true);
  view.setBigUint64(8, native.address(frame), true);
  const key = nativeBytes(4);
  const value = nativeBytes(tableValueBytes);

  function run(bytes: Uint8Array, length: number, repeat: number): void {
    for (let index = 0; index < length; index++) payload[index] = bytes[index] ?? 0;
    view.setUint32(24, ethernetBytes + length, true);
    // The kernel leaves the frame's length here, and takes it for the room there is.
    view.setUint32(28, 0, true);
    view.setUint32(60, repeat, true);
    const result = bpf.bpf_prog_test_run_opts(programFd, options);
    if (result < 0) check("Run the program on a test frame", result);
    if (view.getUint32(56, true) === failed) throw new Error("Judge a test frame: the program could not");
  }

  return {
    programFd,
    use(table) {
      value.fill(0);
      value.set(table);
      check("Write the table", bpf.bpf_map_update_elem(object.mapFd("ttgate_tables"), key, value, 0n));
    },
    verdict(bytes, length) {
      run(bytes, length, 1);
      return view.getUint32(56, true);
    },
    nanoseconds(bytes, repeat) {
      run(bytes, bytes.length, repeat);
      return view.getUint32(64, true);
    },
    [Symbol.dispose]: () => object[Symbol.dispose](),
  };
}
