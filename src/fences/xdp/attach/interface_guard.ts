// SPDX-License-Identifier: Apache-2.0
// Our program on one interface: native XDP, else generic XDP, else tc, else nothing, with the reason for
// each step down. What somebody else attached stays where it is. An interface that comes back, or that
// somebody took our program off, is guarded again with the next tick.
import { Failure } from "../../../failure.ts";
import { KernelError } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { type LinkHeader, linkKind } from "../../../kernel/link_header.ts";
import { interfaceIndex, queryXdp } from "../../../kernel/xdp_query.ts";
import type { Log } from "../../../log.ts";
import type { GatePrograms } from "../gate_program.ts";
import { describeProgram, readProgram } from "../programs.ts";
import { type Attachment, type AttachStep, attachLadder, type GuardedPlace, interfaceMissing } from "./attachment.ts";
import { climbToNative, firstXdp } from "./climb.ts";
import { FilterAttachment, removeFilter } from "./clsact_filter.ts";
import { attachLink, type LinkPlace, takeOverLink } from "./link_attachment.ts";
import { ebusy, eexist, eopnotsupp, refusalText } from "./refusal.ts";

/** How often it is looked whether XDP is free again. */
const climbMs = 1000;
/** How often a driver that refused native XDP is asked again: its MTU or queues may have changed. */
const nativeMs = 60_000;
/** It may take tens of milliseconds, so one that refused so many times is asked each hour. */
const nativeTries = 10;
const seldomNativeMs = 3_600_000;
/** Two tools that both want to be first: a line in so long. */
const lineMs = 60_000;

export interface GuardOptions {
  readonly libraries: Libraries;
  readonly programs: GatePrograms;
  /** What the interface's index is put behind. */
  readonly pinPrefix: string;
  /** Names our filters where there are no links. */
  readonly filterHandle: number;
  readonly ladder?: readonly AttachStep[] | undefined;
  /** The program judges first bytes. */
  readonly judges: boolean;
  /** What is tried where nothing of it works; undefined: nothing. */
  readonly below?: string | undefined;
  readonly log: Log;
}

/** The program that judges an interface's packets. */
export interface LiveProgram {
  readonly hook: "xdp" | "tc";
  readonly programFd: number;
  readonly header: LinkHeader;
}

export class InterfaceGuard {
  readonly name: string;
  readonly #options: GuardOptions;
  #attachment: Attachment | undefined;
  /** Goes on blocking when this process ends, where the link of the attachment could not be pinned. */
  #heir: Attachment | undefined;
  #header: LinkHeader = "ethernet";
  /** Its frames begin with headers that are not read here: whatever is attached would let everything pass. */
  #isUnreadable = false;
  #reason: string | undefined;
  /** Another program was in the place of XDP when last tried. */
  #isOccupied = false;
  #triedMs = Number.NEGATIVE_INFINITY;
  /** The driver does not have native XDP, whatever changes. */
  #hasNoNative = false;
  /** When native XDP was last tried, or waited for first. */
  #nativeMs: number | undefined;
  #nativeTries = 0;
  /** It was tried what can be attached there: then the frames of the interface are known too. */
  #isTried = false;
  #reported = "";
  /** When it was last said that another program was before ours. */
  #saidMs = Number.NEGATIVE_INFINITY;
  /** Of our programs, by descriptor. */
  readonly #programIds = new Map<number, number>();

  constructor(name: string, options: GuardOptions) {
    this.name = name;
    this.#options = options;
  }

  status(): GuardedPlace {
    return { name: this.name, attach: this.#attachment?.mode ?? "none", reason: this.#reason };
  }

  get pin(): string | undefined {
    return this.#attachment?.pin;
  }

  /** The program that judges this interface's packets now, or in words why it is not ours. */
  live(): LiveProgram | string | undefined {
    const { libraries, programs } = this.#options;
    const attachment = this.#attachment;
    if (attachment === undefined) return undefined;
    const hook = attachment.mode === "tc" ? "tc" : "xdp";
    const programFd = hook === "tc" ? programs.tcFd(this.#header) : programs.xdpFd(this.#header);
    const id = attachment.programId();
    if (id === this.#idOf(programFd)) return { hook, programFd, header: this.#header };
    const found = id === undefined ? "nothing" : describeProgram(libraries, id);
    return `interface "${this.name}": ${found} is in the place of ttgate's program`;
  }

  #idOf(programFd: number): number {
    const known = this.#programIds.get(programFd);
    if (known !== undefined) return known;
    const { id } = readProgram(this.#options.libraries, programFd);
    this.#programIds.set(programFd, id);
    return id;
  }

  /** @throws Failure when a pin of somebody else's is in the way. */
  attach(): void {
    const { libraries, filterHandle, log } = this.#options;
    const ifindex = interfaceIndex(libraries, this.name);
    this.#isTried = true;
    if (ifindex === 0) {
      if (this.#reason !== interfaceMissing) {
        log("warn", `Interface "${this.name}" is not there: it is guarded as soon as it comes`);
      }
      this.#reason = interfaceMissing;
      return;
    }
    const { type, header } = linkKind(libraries, this.name);
    this.#isUnreadable = header === undefined;
    if (header === undefined) {
      this.#reason = `its frames begin with headers that are not read here (hardware type ${type})`;
      this.#report();
      return;
    }
    this.#header = header;
    const place = this.#placeAt(ifindex);
    this.#attachment = takeOverLink(place);
    const mode = this.#attachment?.mode;
    if (mode === undefined) this.#climbDown(place);
    else this.#reason = mode === "native" ? undefined : `the process before attached it as ${mode}, taken over from it`;
    if (this.#attachment === undefined || this.#attachment instanceof FilterAttachment) return;
    // A filter from before has nothing to do any more once a link is in place that outlives the process.
    if (this.#attachment.pin === undefined) this.#leaveHeir(place);
    else removeFilter(libraries, ifindex, filterHandle);
  }

  /** A filter outlives the process without a pin. Where the kernel judges, it would judge each packet twice. */
  #leaveHeir(place: LinkPlace): void {
    const made = this.#options.judges ? undefined : this.#try(place, "clsact");
    this.#heir = typeof made === "number" ? undefined : made;
    const unpinned = `Interface "${this.name}": its link cannot be pinned by this user`;
    if (this.#heir === undefined) this.#options.log("warn", `${unpinned}; the guard ends with this process`);
    else this.#options.log("info", `${unpinned}; a tc filter goes on when this process ends`);
  }

  /** Another tool may have put its program into our link. @returns true when it had. @throws KernelError */
  #putBack(): boolean {
    const other = this.live();
    if (typeof other !== "string") return false;
    this.reclaim();
    this.#options.log("warn", `${other[0]?.toUpperCase()}${other.slice(1)}: put back`);
    return true;
  }

  /** A process that was to take over did not: our program again. @throws KernelError */
  reclaim(): void {
    const { programs } = this.#options;
    const header = this.#header;
    const attachment = this.#attachment;
    attachment?.update(attachment.mode === "tc" ? programs.tcFd(header) : programs.xdpFd(header));
  }

  /** @returns true when something changed. */
  tick(nowMs: number): boolean {
    const ifindex = interfaceIndex(this.#options.libraries, this.name);
    if (this.#isSettled(ifindex)) {
      this.#attachment?.repin();
      if (this.#heir?.holds(ifindex) === false) this.#leaveHeir(this.#placeAt(ifindex));
      return this.#putBack() || this.#toFront(nowMs) || this.#climbUp(ifindex, nowMs);
    }
    const isNew = !this.#isTried;
    this.release(false);
    try {
      this.attach();
    } catch (error) {
      this.#reason = error instanceof Error ? error.message : String(error);
      if (isNew) this.#report();
    }
    if (isNew) return true;
    const { attach, reason } = this.status();
    if (attach === "none") this.#options.log("warn", `Interface "${this.name}" is not guarded any more: ${reason}`);
    else this.#options.log("info", `Interface "${this.name}" is guarded again: ${attach}`);
    return true;
  }

  /** Another tc program that is before ours may decide what ours never sees. @returns true when something changed. */
  #toFront(nowMs: number): boolean {
    const { name } = this;
    if (this.#attachment?.isFirst() !== false || nowMs - this.#triedMs < climbMs) return false;
    this.#triedMs = nowMs;
    // The kernel has each program once in its list.
    this.release(false);
    this.attach();
    const { log } = this.#options;
    if (nowMs - this.#saidMs >= lineMs)
      log("warn", `Interface "${name}": another tc program was before ttgate's: attached again, before it`);
    this.#saidMs = nowMs;
    return true;
  }

  #placeAt(ifindex: number): LinkPlace {
    const { libraries, programs, pinPrefix, log } = this.#options;
    return {
      ...{ libraries, programs, interfaceName: this.name, ifindex, header: this.#header },
      ...{ pinPath: pinPrefix + ifindex, log },
    };
  }

  /**
   * Somebody else's program that took XDP may be gone: then ours takes its place, and tc goes once it stands.
   * @returns true when it does.
   */
  #climbUp(ifindex: number, nowMs: number): boolean {
    const before = this.#attachment;
    if (before?.mode === "generic") return this.#climbFromGeneric(before, ifindex, nowMs);
    const isDown =
      before === undefined ? ifindex !== 0 && !this.#isUnreadable : before.mode === "tc" && this.#isOccupied;
    if (!isDown || nowMs - this.#triedMs < climbMs) return false;
    this.#triedMs = nowMs;
    if (queryXdp(this.#options.libraries, ifindex).programId !== 0 || before?.canPin() === false) return false;
    const place = this.#placeAt(ifindex);
    before?.dropPin();
    const made = firstXdp((step) => this.#try(place, step));
    if (made === undefined) {
      before?.repin();
      return false;
    }
    before?.release(false);
    this.#attachment = made;
    if (made.pin === undefined) this.#leaveHeir(place);
    this.#isOccupied = false;
    this.#reason = made.mode === "native" ? undefined : "native XDP was refused";
    this.#report();
    return true;
  }

  /** @returns true when native XDP, or only tc, stands now. */
  #climbFromGeneric(before: Attachment, ifindex: number, nowMs: number): boolean {
    const ladder = this.#options.ladder ?? attachLadder;
    if (this.#hasNoNative || !ladder.includes("native")) return false;
    this.#nativeMs ??= nowMs;
    const everyMs = this.#nativeTries < nativeTries ? nativeMs : seldomNativeMs;
    if (nowMs - this.#nativeMs < everyMs || !before.canPin()) return false;
    this.#nativeMs = nowMs;
    this.#nativeTries++;
    if (!this.#hasStandIn()) return false;
    const place = this.#placeAt(ifindex);
    const made = climbToNative(before, ladder, (step) => this.#try(place, step));
    this.#attachment = made;
    if (made.mode === "generic") return false;
    // Where generic XDP was refused too, it is tried each second whether it is free again.
    this.#isOccupied = made.mode === "tc";
    this.#reason = made.mode === "tc" ? "XDP was refused when native XDP was tried again" : undefined;
    this.#report();
    return true;
  }

  /** Loads it, which takes its time, before anything is changed. */
  #hasStandIn(): boolean {
    try {
      return this.#options.programs.tcFd(this.#header) >= 0;
    } catch (error) {
      if (error instanceof KernelError || error instanceof Failure) return false;
      throw error;
    }
  }

  /** An interface that is there and could not be guarded is not tried again each second. */
  #isSettled(ifindex: number): boolean {
    if (!this.#isTried) return false;
    if (this.#attachment !== undefined) return ifindex !== 0 && this.#attachment.holds(ifindex);
    return ifindex === 0 || this.#reason !== interfaceMissing;
  }

  /** Idempotent. With `keep` the kernel goes on without this process. */
  release(keep: boolean): void {
    this.#attachment?.release(keep);
    this.#attachment = undefined;
    this.#heir?.release(keep);
    this.#heir = undefined;
  }

  #climbDown(place: LinkPlace): void {
    this.#isOccupied = false;
    const refusals: string[] = [];
    let occupied = false;
    for (const step of this.#options.ladder ?? attachLadder) {
      // One hook holds one program, whatever the mode.
      if (occupied && step === "generic") continue;
      const made = this.#try(place, step);
      if (typeof made !== "number") {
        this.#attachment = made;
        break;
      }
      occupied = made === ebusy || made === eexist;
      refusals.push(refusalText(place, step, made));
      this.#isOccupied ||= occupied;
    }
    this.#reason = refusals.length === 0 ? undefined : refusals.join("; ");
    this.#report();
  }

  #try(place: LinkPlace, step: AttachStep): Attachment | number {
    const { libraries, programs, filterHandle } = this.#options;
    try {
      if (step !== "clsact") {
        const made = attachLink(place, step);
        if (step === "native") this.#hasNoNative = made === eopnotsupp;
        return made;
      }
      return new FilterAttachment(libraries, place.ifindex, filterHandle, programs.tcFd(place.header));
    } catch (error) {
      if (error instanceof KernelError) return -error.errno;
      throw error;
    }
  }

  #report(): void {
    const { attach, reason } = this.status();
    const how = attach === "tc" ? "tc" : `${attach} XDP`;
    const { below } = this.#options;
    const left = below === undefined ? "blocked in user space only" : `left to ${below}`;
    const now = attach === "none" ? left : `guarded by ${how}`;
    const because = reason === undefined ? "" : `: ${reason}`;
    const line = `Interface "${this.name}": ${now}${because}`;
    if (line !== this.#reported) this.#options.log(attach === "native" ? "info" : "warn", line);
    this.#reported = line;
  }
}
