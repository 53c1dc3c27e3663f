// SPDX-License-Identifier: Apache-2.0
// Our program on an interface by a BPF link: pinned, so that it outlives a crash, and updated in place
// when the next process takes over. The kernel lets nobody replace what a link holds.
import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { Failure, messageOf } from "../../../failure.ts";
import { closedDirectory, closeFd, openPin, type Pin, pin, unpin } from "../../../kernel/bpffs.ts";
import { check, errnoName, KernelError } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import type { LinkHeader } from "../../../kernel/link_header.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { type LinkInfo, queryXdp, readLinkInfo } from "../../../kernel/xdp_query.ts";
import type { Log } from "../../../log.ts";
import type { GatePrograms } from "../gate_program.ts";
import { KnownPin } from "../known_pin.ts";
import { describeProgram, gateTc, gateXdp, programById, tcPrograms } from "../programs.ts";
import type { Attachment, AttachStep } from "./attachment.ts";

/** include/uapi/linux/bpf.h, enum bpf_attach_type; linux/if_link.h. */
const attachXdp = 37;
const attachTcxIngress = 46;
const xdpSkbMode = 2;
const xdpDrvMode = 4;
/** BPF_F_BEFORE without another program: before all. What ours lets pass goes on to those behind it. */
const before = 8;

const eacces = -13;
const enolink = -67;

export interface LinkPlace {
  readonly libraries: Libraries;
  readonly programs: GatePrograms;
  readonly interfaceName: string;
  readonly ifindex: number;
  /** What its frames begin with. */
  readonly header: LinkHeader;
  readonly pinPath: string;
  readonly log: Log;
}

export class LinkAttachment implements Attachment {
  readonly mode: "native" | "generic" | "tc";
  readonly pin: string | undefined;
  /** Where this user may not look, what is there is taken to be ours. */
  readonly #knownPin: KnownPin | undefined;
  #isPinDropped = false;
  readonly #libraries: Libraries;
  readonly #log: Log;
  readonly #fd: number;
  #released = false;

  /** @param pinned where; undefined when this user may not pin: then the link ends with the process. */
  constructor(
    { libraries, log }: LinkPlace,
    fd: number,
    mode: "native" | "generic" | "tc",
    pinned: string | undefined,
  ) {
    this.#libraries = libraries;
    this.#log = log;
    this.#fd = fd;
    this.mode = mode;
    this.pin = pinned;
    if (pinned === undefined) return;
    const { id } = readLinkInfo(libraries, fd);
    const isIt = (found: Pin) => found.kind === "link" && readLinkInfo(libraries, found.fd).id === id;
    this.#knownPin = new KnownPin(libraries, pinned, isIt);
  }

  programId(): number {
    return readLinkInfo(this.#libraries, this.#fd).programId;
  }

  holds(ifindex: number): boolean {
    return readLinkInfo(this.#libraries, this.#fd).ifindex === ifindex;
  }

  isFirst(): boolean {
    if (this.mode !== "tc") return true;
    const { programId, ifindex } = readLinkInfo(this.#libraries, this.#fd);
    const [first = programId] = tcPrograms(this.#libraries, ifindex);
    return first === programId;
  }

  update(programFd: number): void {
    check("Update the program of a link", this.#libraries.bpf.bpf_link_update(this.#fd, programFd, null));
  }

  repin(): void {
    if (this.pin === undefined) return;
    const standing = this.#knownPin?.standing() ?? "unknown";
    if (standing === "it" || standing === "unknown") return;
    const harm = "a crash would end the guard of its interface";
    if (standing === "gone") {
      const why = closedDirectory(this.pin);
      throw new Failure(`Pin "${this.pin}" was removed and cannot be put back: ${why}; ${harm}; start ttgate again`);
    }
    if (standing === "another") {
      throw new Failure(`Pin "${this.pin}" is another tool's now: ${harm}; remove it with rm ${this.pin}`);
    }
    pin(this.#libraries, this.#fd, this.pin);
    if (!this.#isPinDropped) this.#log("warn", `Pin "${this.pin}" was removed by another tool: put back`);
    this.#isPinDropped = false;
  }

  canPin(): boolean {
    if (this.pin === undefined) return false;
    const standing = this.#knownPin?.standing();
    return (standing === "it" || standing === "nothing") && mayWriteIn(dirname(this.pin));
  }

  dropPin(): void {
    if (this.pin !== undefined) this.#unpin(this.pin);
    this.#isPinDropped = true;
  }

  release(keep: boolean): void {
    if (this.#released) return;
    this.#released = true;
    if (!keep) {
      // At once, also where somebody else holds the link too.
      this.#libraries.bpf.bpf_link_detach(this.#fd);
      if (this.pin !== undefined && !this.#isPinDropped) this.#unpin(this.pin);
    }
    this.#knownPin?.[Symbol.dispose]();
    closeFd(this.#libraries, this.#fd);
  }

  #unpin(path: string): void {
    try {
      const standing = this.#knownPin?.standing();
      if (standing === "it" || standing === "unknown") unpin(this.#libraries, path);
    } catch (error) {
      this.#log("warn", `${messageOf(error)}: remove it with ttgate detach`);
    }
  }
}

function mayWriteIn(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @returns -errno when the kernel refuses. */
export function attachLink(place: LinkPlace, step: Exclude<AttachStep, "clsact">): LinkAttachment | number {
  const fd = createLink(place, step);
  if (fd < 0) return fd;
  const { libraries, pinPath, log, interfaceName } = place;
  const mode = step === "tcx" ? "tc" : step;
  try {
    pin(libraries, fd, pinPath);
    return new LinkAttachment(place, fd, mode, pinPath);
  } catch (error) {
    if (!(error instanceof Failure)) {
      closeFd(libraries, fd);
      throw error;
    }
    // Better guarded without a pin than not. As another user than root the directory stays closed; anything else is
    // tried again.
    const isClosed = error instanceof KernelError && error.code === "EACCES";
    if (!isClosed) log("warn", `Interface "${interfaceName}": ${error.message}; the guard ends with this process`);
    const attachment = new LinkAttachment(place, fd, mode, isClosed ? undefined : pinPath);
    attachment.dropPin();
    return attachment;
  }
}

function createLink({ libraries, programs, ifindex, header }: LinkPlace, step: Exclude<AttachStep, "clsact">): number {
  const { bpf } = libraries;
  // struct bpf_link_create_opts {size_t sz; __u32 flags; ...}
  const options = nativeBytes(64);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 64n, true);
  view.setUint32(8, { native: xdpDrvMode, generic: xdpSkbMode, tcx: before }[step], true);
  const isTc = step === "tcx";
  const programFd = isTc ? programs.tcFd(header) : programs.xdpFd(header);
  return bpf.bpf_link_create(programFd, ifindex, isTc ? attachTcxIngress : attachXdp, options);
}

/**
 * The link of the process before us, with our program in the place of its own.
 * @returns undefined when there is none, or it holds on to an interface that is gone.
 * @throws Failure when the pin is somebody else's.
 */
export function takeOverLink(place: LinkPlace): LinkAttachment | undefined {
  const { libraries, pinPath } = place;
  const found = openPin(libraries, pinPath);
  if (found === undefined || found === eacces) return undefined;
  if (typeof found === "number") throw inTheWay(pinPath, `cannot be opened (${errnoName(-found)})`);
  let taken: LinkAttachment | undefined;
  try {
    taken = updateLink(place, found);
    return taken;
  } finally {
    if (taken === undefined) found[Symbol.dispose]();
  }
}

function inTheWay(path: string, state: string): Failure {
  return new Failure(`Pin "${path}": ${state}: remove it with rm ${path}, or use another map name`);
}

function updateLink(place: LinkPlace, found: Pin): LinkAttachment | undefined {
  const { libraries, programs, ifindex, header, pinPath, interfaceName, log } = place;
  if (found.kind !== "link") throw inTheWay(pinPath, `is a ${found.kind}, not a link of ttgate`);
  const link = readLinkInfo(libraries, found.fd);
  if (link.kind === "other") throw inTheWay(pinPath, "is a link of another kind");
  requireOurs(place, link);
  const programFd = link.kind === "xdp" ? programs.xdpFd(header) : programs.tcFd(header);
  const result = link.ifindex === 0 ? enolink : libraries.bpf.bpf_link_update(found.fd, programFd, null);
  if (result === enolink) {
    unpin(libraries, pinPath);
    return undefined;
  }
  check(`Update the program of interface "${interfaceName}"`, result);
  const mode = link.kind === "tc" ? "tc" : queryXdp(libraries, ifindex).mode;
  log("info", `Interface "${interfaceName}": swapped the program in place (${mode})`);
  return new LinkAttachment(place, found.fd, mode === "none" ? "native" : mode, pinPath);
}

function requireOurs({ libraries, ifindex, pinPath }: LinkPlace, link: LinkInfo): void {
  if (link.ifindex === 0) return;
  const program = programById(libraries, link.programId);
  if (program !== undefined && program.name !== gateXdp && program.name !== gateTc) {
    throw inTheWay(pinPath, `is a link of ${describeProgram(libraries, link.programId)}`);
  }
  // Interfaces of two namespaces may have the same index.
  const elsewhere = link.kind === "xdp" && queryXdp(libraries, ifindex).programId !== link.programId;
  if (link.ifindex !== ifindex || elsewhere) throw inTheWay(pinPath, "is a link in another network namespace");
}
