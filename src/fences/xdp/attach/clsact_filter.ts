// SPDX-License-Identifier: Apache-2.0
// Our program as a tc filter, for kernels without tc links (before 6.6). A filter outlives the process by
// itself; ours is found again by its handle, which is the id of the settings map. The clsact queue that it
// hangs in stays: others may use it by now, and it does nothing by itself.

import { check } from "../../../kernel/errno.ts";
import type { LibbpfCalls } from "../../../kernel/libbpf.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { gateTc, programById } from "../programs.ts";
import type { Attachment } from "./attachment.ts";

/** bpf/libbpf.h */
const ingress = 1;
const replace = 1;
/** Before filters that came without asking for a place (49152 and down). */
const priority = 100;

const eexist = -17;

/** struct bpf_tc_hook {size_t sz; int ifindex; enum bpf_tc_attach_point; __u32 parent}. */
function hookOf(ifindex: number): Uint8Array<ArrayBuffer> {
  const hook = nativeBytes(24);
  const view = new DataView(hook.buffer);
  view.setBigUint64(0, 24n, true);
  view.setInt32(8, ifindex, true);
  view.setUint32(12, ingress, true);
  return hook;
}

/** struct bpf_tc_opts {size_t sz; int prog_fd; __u32 flags, prog_id, handle, priority}. */
function optionsOf(handle: number, programFd = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const options = nativeBytes(32);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 32n, true);
  view.setInt32(8, programFd, true);
  view.setUint32(12, flags, true);
  view.setUint32(20, handle, true);
  view.setUint32(24, priority, true);
  return options;
}

/** The program of the filter with this handle; undefined when there is none. */
function filterProgram(bpf: LibbpfCalls, ifindex: number, handle: number): number | undefined {
  const options = optionsOf(handle);
  if (bpf.bpf_tc_query(hookOf(ifindex), options) < 0) return undefined;
  return new DataView(options.buffer).getUint32(16, true);
}

/** Takes the filter with this handle off, if it is ours. @returns true when it was there. */
export function removeFilter(libraries: Libraries, ifindex: number, handle: number): boolean {
  const found = filterProgram(libraries.bpf, ifindex, handle);
  const program = found === undefined ? undefined : programById(libraries, found);
  if (found === undefined || (program !== undefined && program.name !== gateTc)) return false;
  return libraries.bpf.bpf_tc_detach(hookOf(ifindex), optionsOf(handle)) >= 0;
}

export class FilterAttachment implements Attachment {
  readonly mode = "tc";
  readonly pin = undefined;
  readonly #libraries: Libraries;
  readonly #ifindex: number;
  readonly #handle: number;
  #released = false;

  /**
   * Replaces a filter of the process before in one step.
   * @throws KernelError
   */
  constructor(libraries: Libraries, ifindex: number, handle: number, programFd: number) {
    const { bpf } = libraries;
    this.#libraries = libraries;
    this.#ifindex = ifindex;
    this.#handle = handle;
    const made = bpf.bpf_tc_hook_create(hookOf(ifindex));
    if (made !== eexist) check("Make the clsact queue", made);
    this.update(programFd);
  }

  update(programFd: number): void {
    const { bpf } = this.#libraries;
    const flags = filterProgram(bpf, this.#ifindex, this.#handle) === undefined ? 0 : replace;
    const options = optionsOf(this.#handle, programFd, flags);
    check("Attach the tc filter", bpf.bpf_tc_attach(hookOf(this.#ifindex), options));
  }

  /** Nothing is pinned: a filter stays by itself. */
  repin(): void {}

  canPin(): boolean {
    return true;
  }

  dropPin(): void {}

  programId(): number | undefined {
    return filterProgram(this.#libraries.bpf, this.#ifindex, this.#handle);
  }

  holds(ifindex: number): boolean {
    return ifindex === this.#ifindex && this.programId() !== undefined;
  }

  /** Filters have numbers for their order, which are everybody's to choose. */
  isFirst(): boolean {
    return true;
  }

  release(keep: boolean): void {
    if (this.#released) return;
    this.#released = true;
    if (!keep) removeFilter(this.#libraries, this.#ifindex, this.#handle);
  }
}
