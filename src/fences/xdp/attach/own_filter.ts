// SPDX-License-Identifier: Apache-2.0
// ttgate's own program on its interfaces, with its settings and counters, and the proof that it does
// what it should. Detaches, unpins and forgets on a deliberate stop; leaves everything to the pins
// otherwise.
import type { Prefix } from "../../../core/address.ts";
import type { FenceStatus } from "../../../core/bans/fence.ts";
import { Failure, messageOf } from "../../../failure.ts";
import type { BpfMap } from "../../../kernel/bpf_map.ts";
import { unpin } from "../../../kernel/bpffs.ts";
import { KernelError } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import type { GatePrograms } from "../gate_program.ts";
import type { BanStores } from "../maps/ban_stores.ts";
import { readCounter } from "../maps/counters.ts";
import type { Integrity } from "../maps/integrity.ts";
import { type Outcome, type OutcomeCount, outcomes } from "../maps/layout.ts";
import type { SettingsMap, SettingsOwner } from "../maps/settings_map.ts";
import type { OpenedOptions } from "../options.ts";
import { tcpFrame } from "../proof/frames.ts";
import { prove, provenWithinMs } from "../proof/proof.ts";
import { drops, wouldDrop } from "../proof/test_run.ts";
import type { GuardedPlace } from "./attachment.ts";
import type { InterfaceGuard, LiveProgram } from "./interface_guard.ts";
import type { KernelAnswer, PacketFilter } from "./packet_filter.ts";

const proofMs = 60_000;

export interface OwnFilterParts {
  readonly libraries: Libraries;
  readonly options: OpenedOptions;
  readonly programs: GatePrograms;
  readonly guards: readonly InterfaceGuard[];
  /** For an interface that comes later. */
  guard(interfaceName: string): InterfaceGuard;
  readonly stores: BanStores;
  readonly settings: SettingsMap;
  readonly integrity: Integrity;
  readonly counters: BpfMap;
  /** Of ttgate's own maps. */
  readonly pins: readonly string[];
}

export class OwnFilter implements PacketFilter {
  readonly #parts: OwnFilterParts;
  #proof: FenceStatus["proof"];
  #faults: readonly string[] = [];
  #guards: readonly InterfaceGuard[];
  /** What test frames have added to the counters. */
  #synthetic = { packets: 0, bytes: 0 };

  constructor(parts: OwnFilterParts) {
    this.#parts = parts;
    this.#guards = parts.guards;
  }

  places(): readonly GuardedPlace[] {
    return this.#guards.map((guard) => guard.status());
  }

  dropped(): OutcomeCount {
    const exact = this.#counted("drop_ban");
    const ranges = this.#counted("drop_cidr");
    // Not below zero where somebody else set the counters back.
    return {
      packets: Math.max(0, exact.packets + ranges.packets - this.#synthetic.packets),
      bytes: Math.max(0, exact.bytes + ranges.bytes - this.#synthetic.bytes),
    };
  }

  #counted(outcome: Outcome): OutcomeCount {
    return readCounter(this.#parts.counters, outcomes.indexOf(outcome));
  }

  managedBy(): undefined {}

  pins(): readonly string[] {
    const links = this.#guards.map((guard) => guard.pin).filter((path) => path !== undefined);
    return [...this.#parts.pins, ...links];
  }

  proof(): FenceStatus["proof"] {
    return this.#proof;
  }

  /** Sends test frames through the live program of every interface; through one that several have, once. */
  prove(nowMs: number): void {
    const live = this.#guards.filter((guard) => guard.status().attach !== "none");
    if (live.length === 0) {
      this.#proof = undefined;
      return;
    }
    const failed = this.#proof?.passed === false;
    const answers = new Map<number, string | undefined>();
    const failure = live
      .map((guard) => {
        const program = guard.live();
        if (program === undefined || typeof program === "string") return program;
        const { programFd } = program;
        if (!answers.has(programFd)) answers.set(programFd, this.#tryOut(program, nowMs));
        const wrong = answers.get(programFd);
        return wrong === undefined ? undefined : `interface "${guard.name}": ${wrong}`;
      })
      .find((wrong) => wrong !== undefined);
    this.#proof = { passed: failure === undefined, failure, atMs: nowMs };
    const { options } = this.#parts;
    if (failure !== undefined) options.log("error", `The kernel does not block as it should: ${failure}`);
    else if (failed) options.log("info", "The kernel blocks as it should again");
  }

  /** @returns what it did wrong. */
  #tryOut(program: LiveProgram, nowMs: number): string | undefined {
    const { stores, options } = this.#parts;
    const { ipv6PrefixBits, judges } = options;
    const { scope, ports } = options.guarded;
    const question = { stores, scope, ports, ipv6PrefixBits, judges, header: program.header };
    const answer = (frame: NativeBuffer) => this.#drops(program, frame, drops);
    const startMs = options.nowMs();
    const wrong = prove({ ...question, nowMs, drops: answer });
    const tookMs = options.nowMs() - startMs;
    // A process or a machine that stood still meanwhile finds the entries over: once more.
    return wrong === undefined || tookMs < provenWithinMs
      ? wrong
      : prove({ ...question, nowMs: nowMs + tookMs, drops: answer });
  }

  ask(source: Prefix): KernelAnswer | undefined {
    for (const guard of this.#guards) {
      const live = guard.live();
      const destinationPort = this.#parts.options.guarded.ports[0];
      if (live === undefined || typeof live === "string" || destinationPort === undefined) continue;
      const frame = tcpFrame(source, { destinationPort, header: live.header });
      return this.#drops(live, frame, wouldDrop) ? "drop" : "pass";
    }
    return undefined;
  }

  #drops({ programFd, hook }: LiveProgram, frame: NativeBuffer, run: typeof drops): boolean {
    const dropped = run(this.#parts.libraries, programFd, hook, frame);
    if (dropped) {
      this.#synthetic.packets++;
      this.#synthetic.bytes += frame.length;
    }
    return dropped;
  }

  guard(): void {
    const { settings, options } = this.#parts;
    const { scope, slots } = options.guarded;
    settings.write({ scope, ports: [...slots] });
  }

  cover(interfaces: readonly string[]): void {
    const guards = this.#guards;
    const names = guards.map(({ name }) => name);
    if (names.length === interfaces.length && names.every((name) => interfaces.includes(name))) return;
    for (const guard of guards) if (!interfaces.includes(guard.name)) guard.release(false);
    this.#guards = interfaces.map((name) => guards.find((guard) => guard.name === name) ?? this.#parts.guard(name));
    // A guard that is new attaches with the next tick.
  }

  /** What other hands did to the maps and could not be put right. */
  faults(): readonly string[] {
    const wrong = this.#proof?.passed === false ? [`The kernel program answered wrongly: ${this.#proof.failure}`] : [];
    return [...this.#faults, ...wrong];
  }

  tick(nowMs: number): void {
    const { settings, integrity } = this.#parts;
    const owner = settings.owner(nowMs);
    if (owner === "other") {
      // Its settings, pins and link updates are not undone.
      this.#faults = ["Another gate has taken the block map over: bans made here are no longer in the kernel"];
      return;
    }
    const faults = [...integrity.check(), ...this.#writeSettings(owner, nowMs)];
    let changed = false;
    for (const guard of this.#guards) {
      try {
        changed = guard.tick(nowMs) || changed;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        faults.push(`Interface "${guard.name}": ${error.message}`);
      }
    }
    this.#faults = faults;
    const isDue = nowMs - (this.#proof?.atMs ?? nowMs) >= proofMs;
    if (changed || owner === "overwritten" || isDue) this.prove(nowMs);
  }

  /** The heartbeat, and with it whatever somebody else wrote over. @returns why it cannot. */
  #writeSettings(owner: SettingsOwner, nowMs: number): readonly string[] {
    const { settings, options } = this.#parts;
    try {
      settings.write({ heartbeatMs: nowMs });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return [`The settings of the kernel program cannot be written: ${error.message}`];
    }
    if (owner === "overwritten") {
      options.log("warn", "The settings of the kernel program were overwritten by another tool: put back");
    }
    return [];
  }

  lostPins(): readonly string[] {
    return this.#parts.pins.filter((path) => this.#parts.integrity.frozen.includes(path));
  }

  unpin(paths: readonly string[]): void {
    for (const path of paths) this.#unpin(path);
  }

  reclaim(nowMs: number): void {
    this.#parts.settings.write({ heartbeatMs: nowMs });
    for (const guard of this.#guards) guard.reclaim();
    this.#faults = [];
    this.prove(nowMs);
  }

  abandon(): void {
    for (const guard of this.#guards) guard.release(true);
    this[Symbol.dispose]();
  }

  detach(keep: boolean, nowMs: number): boolean {
    const { settings, pins } = this.#parts;
    const ours = settings.owner(nowMs) !== "other";
    const stays = keep || !ours;
    for (const guard of this.#guards) guard.release(stays);
    if (!stays) for (const path of pins) this.#unpin(path);
    // Also without --keep: pins that another mount covers are not removed.
    if (ours) this.#letGo();
    return stays;
  }

  /** For whoever looks at the maps later: no daemon has them. */
  #letGo(): void {
    const { settings, options } = this.#parts;
    try {
      settings.write({ daemonPid: 0 });
    } catch (error) {
      options.log("warn", messageOf(error));
    }
  }

  /** As another user than root the directory may be closed by now; the maps are empty of effect without links. */
  #unpin(path: string): void {
    const { libraries, options } = this.#parts;
    try {
      unpin(libraries, path);
    } catch (error) {
      options.log("warn", `${messageOf(error)}: remove it with ttgate detach -B ${options.map}`);
    }
  }

  [Symbol.dispose](): void {
    this.#parts.integrity[Symbol.dispose]();
    this.#parts.programs[Symbol.dispose]();
  }
}
