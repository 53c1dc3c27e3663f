// SPDX-License-Identifier: Apache-2.0
// BPF_PROG_TEST_RUN: one frame through a loaded program, as often as wanted; what it said, what it left
// of the frame, and how long it took. And how long the verifier took over the program.
import { check } from "../../src/kernel/errno.ts";
import type { Libraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";

export interface RunOptions {
  readonly repeat?: number;
}

export interface RunResult {
  /** XDP_DROP and so on; TC_ACT_UNSPEC is 2^32 - 1. */
  readonly verdict: number;
  /** The frame afterwards. */
  readonly frame: NativeBuffer;
  /** Mean of the repetitions, whole nanoseconds. */
  readonly durationNs: number;
}

/** @throws KernelError */
export function runProgram(
  { bpf, native }: Libraries,
  programFd: number,
  frame: NativeBuffer,
  { repeat = 1 }: RunOptions = {},
): RunResult {
  // struct bpf_test_run_opts {sz; data_in; data_out; u32 data sizes; ctx_in; ctx_out; u32 ctx sizes;
  // u32 retval; int repeat; u32 duration; ...}
  const options = nativeBytes(80);
  const view = new DataView(options.buffer);
  const output = nativeBytes(frame.length + 256);
  view.setBigUint64(0, 80n, true);
  view.setBigUint64(8, native.address(frame), true);
  view.setBigUint64(16, native.address(output), true);
  view.setUint32(24, frame.length, true);
  view.setUint32(28, output.length, true);
  view.setUint32(60, repeat, true);
  check("Run the program on a test frame", bpf.bpf_prog_test_run_opts(programFd, options));
  return {
    verdict: view.getUint32(56, true),
    frame: output.subarray(0, view.getUint32(28, true)),
    durationNs: view.getUint32(64, true),
  };
}

/** struct bpf_prog_info: verified_insns, from kernel 5.16. */
export function verifiedInstructions({ bpf }: Libraries, programFd: number): number {
  const info = nativeBytes(232);
  const length = nativeBytes(4);
  new DataView(length.buffer).setUint32(0, info.length, true);
  check("Read a program's description", bpf.bpf_obj_get_info_by_fd(programFd, info, length));
  return new DataView(info.buffer).getUint32(216, true);
}
