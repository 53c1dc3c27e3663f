// SPDX-License-Identifier: Apache-2.0
// What a loaded program does with one frame, asked of the kernel (BPF_PROG_TEST_RUN): the same program,
// the same maps, no card.

import { check } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";

/** enum xdp_action, linux/pkt_cls.h. What is neither goes on to the next program. */
const xdpDrop = 1;
const tcShot = 2;
/** The shortest frame that the kernel takes. */
const ethernetBytes = 14;

/** @throws KernelError */
export function drops(libraries: Libraries, programFd: number, hook: "xdp" | "tc", frame: NativeBuffer): boolean {
  return run(libraries, programFd, frame) === (hook === "xdp" ? xdpDrop : tcShot);
}

/** Of a program that looks at no frame. @throws KernelError */
export function runOnce(libraries: Libraries, programFd: number): void {
  run(libraries, programFd, nativeBytes(ethernetBytes));
}

function run({ bpf, native }: Libraries, programFd: number, frame: NativeBuffer): number {
  // struct bpf_test_run_opts {sz; data_in; data_out; u32 size_in, size_out; ...; u32 retval at 56; repeat at 60}
  const options = nativeBytes(80);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 80n, true);
  view.setBigUint64(8, native.address(frame), true);
  view.setUint32(24, frame.length, true);
  view.setUint32(60, 1, true);
  check("Run the program on a test frame", bpf.bpf_prog_test_run_opts(programFd, options));
  return view.getUint32(56, true);
}
