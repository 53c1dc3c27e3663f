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

/** TTGATE_QUESTION of bpf/ttgate.h. */
const question = 0x7474673f;
/** struct xdp_md {data; data_end; data_meta; ingress_ifindex; rx_queue_index; egress_ifindex}. */
const xdpContextBytes = 24;
/** struct __sk_buff as far as `mark`. */
const tcContextBytes = 12;

type Hook = "xdp" | "tc";

/** @throws KernelError */
export function drops(libraries: Libraries, programFd: number, hook: Hook, frame: NativeBuffer): boolean {
  return isDropped(hook, run(libraries, programFd, { frame }));
}

/**
 * The same without a trace in the counts of a ban. Before kernel 5.14 XDP takes no context, and so it is
 * counted there. @throws KernelError
 */
export function wouldDrop(libraries: Libraries, programFd: number, hook: Hook, frame: NativeBuffer): boolean {
  const input = hook === "xdp" ? xdpQuestion(frame) : tcQuestion(frame);
  const { result, verdict } = tryRun(libraries, programFd, input);
  return result < 0 ? drops(libraries, programFd, hook, frame) : isDropped(hook, verdict);
}

function isDropped(hook: Hook, verdict: number): boolean {
  return verdict === (hook === "xdp" ? xdpDrop : tcShot);
}

interface Input {
  readonly frame: NativeBuffer;
  readonly context?: NativeBuffer;
}

/** The mark as metadata: it stands before the frame, where only programs of this host put anything. */
function xdpQuestion(frame: NativeBuffer): Input {
  const mark = 4;
  const marked = nativeBytes(mark + frame.length);
  new DataView(marked.buffer).setUint32(0, question, true);
  marked.set(frame, mark);
  const context = nativeBytes(xdpContextBytes);
  const view = new DataView(context.buffer);
  view.setUint32(0, mark, true);
  view.setUint32(4, marked.length, true);
  return { frame: marked, context };
}

function tcQuestion(frame: NativeBuffer): Input {
  const context = nativeBytes(tcContextBytes);
  new DataView(context.buffer).setUint32(8, question, true);
  return { frame, context };
}

/** Of a program that looks at no frame. @throws KernelError */
export function runOnce(libraries: Libraries, programFd: number): void {
  run(libraries, programFd, { frame: nativeBytes(ethernetBytes) });
}

function run(libraries: Libraries, programFd: number, input: Input): number {
  const { result, verdict } = tryRun(libraries, programFd, input);
  check("Run the program on a test frame", result);
  return verdict;
}

function tryRun({ bpf, native }: Libraries, programFd: number, { frame, context }: Input) {
  // struct bpf_test_run_opts {sz; data_in; data_out; u32 size_in, size_out; ctx_in; ctx_out;
  // u32 ctx_size_in, ctx_size_out; u32 retval at 56; repeat at 60}
  const options = nativeBytes(80);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 80n, true);
  view.setBigUint64(8, native.address(frame), true);
  view.setUint32(24, frame.length, true);
  if (context !== undefined) {
    view.setBigUint64(32, native.address(context), true);
    view.setUint32(48, context.length, true);
  }
  view.setUint32(60, 1, true);
  const result = bpf.bpf_prog_test_run_opts(programFd, options);
  return { result, verdict: view.getUint32(56, true) };
}
