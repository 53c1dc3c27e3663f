// SPDX-License-Identifier: Apache-2.0
// Our program on one interface: native XDP, else generic XDP, else tc, else nothing, with the reason for
// each step down. The link is pinned, so that it outlives a crash, and updated in place when the next
// process takes over. What somebody else attached stays where it is.
import type { AttachMode, FenceInterface } from "../core/fence.ts";
import { closeFd, openPin, pin, unpin } from "./bpffs.ts";
import { errnoName, KernelError } from "./errno.ts";
import { FenceError } from "./fence_error.ts";
import type { GatePrograms } from "./gate_program.ts";
import type { Libraries } from "./libraries.ts";
import type { Log } from "./log.ts";
import { nativeBytes } from "./native_bytes.ts";
import { describeProgram, gateTc, gateXdp, programById, readProgram } from "./programs.ts";
import { interfaceIndex, queryXdp, readLinkInfo } from "./xdp_query.ts";

/** include/uapi/linux/bpf.h, enum bpf_attach_type; linux/if_link.h. */
const attachXdp = 37;
const attachTcxIngress = 46;
const xdpSkbMode = 2;
const xdpDrvMode = 4;

const ebusy = -16;
const eexist = -17;
const enolink = -67;

interface Attached {
  readonly ifindex: number;
  readonly linkFd: number;
  readonly mode: "native" | "generic" | "tc";
  /** Undefined when this user may not pin: then the link ends with the process. */
  readonly pinPath: string | undefined;
}

export class InterfaceGuard {
  readonly name: string;
  readonly #libraries: Libraries;
  readonly #programs: GatePrograms;
  readonly #pinPrefix: string;
  readonly #log: Log;
  #attached: Attached | undefined;
  #reason: string | undefined;

  /** @param pinPrefix what the interface's index is put behind. */
  constructor(libraries: Libraries, name: string, programs: GatePrograms, pinPrefix: string, log: Log) {
    this.#libraries = libraries;
    this.name = name;
    this.#programs = programs;
    this.#pinPrefix = pinPrefix;
    this.#log = log;
  }

  status(): FenceInterface {
    return { name: this.name, attach: this.#attached?.mode ?? "none", reason: this.#reason };
  }

  get pin(): string | undefined {
    return this.#attached?.pinPath;
  }

  /** The program that judges this interface's packets now, or in words why it is not ours. */
  live(): { readonly hook: "xdp" | "tc"; readonly programFd: number } | string | undefined {
    const attached = this.#attached;
    if (attached === undefined) return undefined;
    const hook = attached.mode === "tc" ? "tc" : "xdp";
    const programFd = hook === "tc" ? this.#programs.tcFd() : this.#programs.xdpFd;
    const { programId } = readLinkInfo(this.#libraries, attached.linkFd);
    if (programId === readProgram(this.#libraries, programFd).id) return { hook, programFd };
    return `interface "${this.name}": ${describeProgram(this.#libraries, programId)} is in the place of ttgate's program`;
  }

  /** @throws FenceError when a pin of somebody else's is in the way. */
  attach(): void {
    const ifindex = interfaceIndex(this.#libraries, this.name);
    if (ifindex === 0) {
      this.#reason = "the interface is not there";
      return;
    }
    const pinPath = `${this.#pinPrefix}${ifindex}`;
    this.#attached = this.#takeOver(ifindex, pinPath) ?? this.#attachAnew(ifindex, pinPath);
  }

  /**
   * Attaches again where the interface went away and came back, or somebody took our link off.
   * @returns true when something changed.
   */
  tick(): boolean {
    const ifindex = interfaceIndex(this.#libraries, this.name);
    const attached = this.#attached;
    if (attached === undefined ? ifindex === 0 || this.#reasonStays() : this.#holds(attached, ifindex)) return false;
    this.release(false);
    try {
      this.attach();
    } catch (error) {
      this.#reason = error instanceof Error ? error.message : String(error);
    }
    const { attach, reason } = this.status();
    if (attach === "none") this.#log("warn", `Interface "${this.name}" is not guarded any more: ${reason}`);
    else this.#log("info", `Interface "${this.name}" is guarded again: ${attach}`);
    return true;
  }

  /** An interface that is there and could not be guarded is not tried again each second. */
  #reasonStays(): boolean {
    return this.#reason !== "the interface is not there";
  }

  #holds(attached: Attached, ifindex: number): boolean {
    return attached.ifindex === ifindex && readLinkInfo(this.#libraries, attached.linkFd).ifindex === ifindex;
  }

  /** Idempotent. With `keep` the pin holds the link, and the link the program. */
  release(keep: boolean): void {
    const attached = this.#attached;
    if (attached === undefined) return;
    this.#attached = undefined;
    if (!keep) {
      // At once, also where somebody else holds the link too.
      this.#libraries.bpf.bpf_link_detach(attached.linkFd);
      if (attached.pinPath !== undefined) this.#unpin(attached.pinPath);
    }
    closeFd(this.#libraries, attached.linkFd);
  }

  /** The link of the process before us, with our program in the place of its own. */
  #takeOver(ifindex: number, pinPath: string): Attached | undefined {
    const found = openPin(this.#libraries, pinPath);
    if (found === undefined) return undefined;
    const inTheWay = (state: string): FenceError =>
      new FenceError(`Pin "${pinPath}": ${state}: remove it with rm ${pinPath}, or use another map name`);
    if (typeof found === "number") throw inTheWay(`can not be opened (${errnoName(-found)})`);
    let taken: Attached | undefined;
    try {
      if (found.kind !== "link") throw inTheWay(`is a ${found.kind}, not a link of ttgate`);
      const link = readLinkInfo(this.#libraries, found.fd);
      if (link.ifindex === 0 && link.kind !== "other") {
        unpin(this.#libraries, pinPath);
        return undefined;
      }
      const program = programById(this.#libraries, link.programId);
      if (link.kind === "other" || (program !== undefined && program.name !== gateXdp && program.name !== gateTc)) {
        throw inTheWay(`is a link of ${describeProgram(this.#libraries, link.programId)}`);
      }
      const state = queryXdp(this.#libraries, ifindex);
      if (link.ifindex !== ifindex || (link.kind === "xdp" && state.programId !== link.programId)) {
        throw inTheWay("is a link in another network namespace");
      }
      taken = this.#update(found.fd, link.kind, ifindex, pinPath);
      return taken;
    } finally {
      if (taken === undefined) found[Symbol.dispose]();
    }
  }

  #update(linkFd: number, kind: "xdp" | "tc", ifindex: number, pinPath: string): Attached | undefined {
    const { bpf } = this.#libraries;
    const result = bpf.bpf_link_update(linkFd, kind === "xdp" ? this.#programs.xdpFd : this.#programs.tcFd(), null);
    if (result === enolink) {
      unpin(this.#libraries, pinPath);
      return undefined;
    }
    if (result < 0) throw new KernelError(`Update the program of interface "${this.name}"`, -result);
    const found = kind === "tc" ? "tc" : queryXdp(this.#libraries, ifindex).mode;
    const mode = found === "none" ? "native" : found;
    this.#reason = mode === "native" ? undefined : `taken over from the process before, which attached it as ${mode}`;
    this.#log("info", `Interface "${this.name}": swapped the program in place (${mode})`);
    return { ifindex, linkFd, mode, pinPath };
  }

  #attachAnew(ifindex: number, pinPath: string): Attached | undefined {
    const refusals: string[] = [];
    let occupied = false;
    for (const mode of ["native", "generic", "tc"] as const) {
      // One hook holds one program, whatever the mode.
      if (occupied && mode === "generic") continue;
      const linkFd = this.#createLink(ifindex, mode);
      if (linkFd < 0) {
        occupied = linkFd === ebusy || linkFd === eexist;
        refusals.push(this.#refusal(ifindex, mode, linkFd));
        continue;
      }
      this.#reason = refusals.length === 0 ? undefined : refusals.join("; ");
      this.#report(mode);
      return { ifindex, linkFd, mode, pinPath: this.#pin(linkFd, pinPath) };
    }
    this.#reason = refusals.join("; ");
    this.#report("none");
    return undefined;
  }

  /** As another user than root the directory may be closed by now: better guarded without a pin than not. */
  #pin(linkFd: number, pinPath: string): string | undefined {
    try {
      pin(this.#libraries, linkFd, pinPath);
      return pinPath;
    } catch (error) {
      if (error instanceof KernelError && error.code === "EACCES") {
        this.#log("warn", `Interface "${this.name}": may not pin the link, the guard ends with this process`);
        return undefined;
      }
      closeFd(this.#libraries, linkFd);
      throw error;
    }
  }

  #unpin(pinPath: string): void {
    try {
      unpin(this.#libraries, pinPath);
    } catch (error) {
      this.#log("warn", `Interface "${this.name}": ${String(error)}: remove it with ttgate detach`);
    }
  }

  #createLink(ifindex: number, mode: "native" | "generic" | "tc"): number {
    const { bpf } = this.#libraries;
    if (mode === "tc") {
      try {
        return bpf.bpf_link_create(this.#programs.tcFd(), ifindex, attachTcxIngress, null);
      } catch (error) {
        if (error instanceof KernelError) return -error.errno;
        throw error;
      }
    }
    // struct bpf_link_create_opts {size_t sz; __u32 flags; ...}
    const options = nativeBytes(64);
    const view = new DataView(options.buffer);
    view.setBigUint64(0, 64n, true);
    view.setUint32(8, mode === "native" ? xdpDrvMode : xdpSkbMode, true);
    return bpf.bpf_link_create(this.#programs.xdpFd, ifindex, attachXdp, options);
  }

  #refusal(ifindex: number, mode: "native" | "generic" | "tc", result: number): string {
    const name = errnoName(-result);
    if (mode !== "tc" && (result === ebusy || result === eexist)) {
      const holder = describeProgram(this.#libraries, queryXdp(this.#libraries, ifindex).programId);
      return `no XDP: ${holder} is attached there (${name})`;
    }
    const why: Readonly<Record<string, string>> = {
      EOPNOTSUPP: "the driver does not have it",
      ERANGE: "the interface's MTU is too large for it",
      EINVAL: mode === "tc" ? "the kernel is older than 6.6" : "the driver refuses it as it is set up now",
      ENOMEM: "not enough memory or queues",
      EPERM: "it needs root or CAP_NET_ADMIN and CAP_BPF",
    };
    return `no ${mode === "tc" ? "tc" : `${mode} XDP`}: ${why[name] ?? "refused"} (${name})`;
  }

  #report(mode: AttachMode): void {
    const now = mode === "none" ? "blocked in user space only" : `guarded by ${mode === "tc" ? mode : `${mode} XDP`}`;
    const reason = this.#reason === undefined ? "" : `: ${this.#reason}`;
    this.#log(mode === "native" ? "info" : "warn", `Interface "${this.name}": ${now}${reason}`);
  }
}
