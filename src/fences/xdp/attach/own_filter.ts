// SPDX-License-Identifier: Apache-2.0
// ttgate's own program on its interfaces, with its settings and counters, and the proof that it does
// what it should. Detaches, unpins and forgets on a deliberate stop; leaves everything to the pins
// otherwise.
import type { Prefix } from "../../../core/address.ts";
import type { FenceInterface, FenceStatus } from "../../../core/bans/fence.ts";
import type { BpfMap } from "../../../kernel/bpf_map.ts";
import { unpin } from "../../../kernel/bpffs.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import type { GatePrograms } from "../gate_program.ts";
import type { BanStores } from "../maps/ban_stores.ts";
import { readCounter } from "../maps/counters.ts";
import { type Outcome, type OutcomeCount, outcomes } from "../maps/layout.ts";
import type { SettingsMap } from "../maps/settings_map.ts";
import type { XdpFenceOptions } from "../options.ts";
import { tcpFrame } from "../proof/frames.ts";
import { prove } from "../proof/proof.ts";
import { drops } from "../proof/test_run.ts";
import type { InterfaceGuard } from "./interface_guard.ts";
import type { KernelAnswer, PacketFilter } from "./packet_filter.ts";

const proofMs = 60_000;

export interface OwnFilterParts {
  readonly libraries: Libraries;
  readonly options: XdpFenceOptions;
  readonly programs: GatePrograms;
  readonly guards: readonly InterfaceGuard[];
  readonly stores: BanStores;
  readonly settings: SettingsMap;
  readonly counters: BpfMap;
  /** Of ttgate's own maps. */
  readonly pins: readonly string[];
}

export class OwnFilter implements PacketFilter {
  readonly #parts: OwnFilterParts;
  #proof: FenceStatus["proof"];
  /** What test frames have added to the counters. */
  #synthetic = { packets: 0, bytes: 0 };

  constructor(parts: OwnFilterParts) {
    this.#parts = parts;
  }

  interfaces(): readonly FenceInterface[] {
    return this.#parts.guards.map((guard) => guard.status());
  }

  dropped(): OutcomeCount {
    const exact = this.#counted("drop_ban");
    const ranges = this.#counted("drop_cidr");
    return {
      packets: exact.packets + ranges.packets - this.#synthetic.packets,
      bytes: exact.bytes + ranges.bytes - this.#synthetic.bytes,
    };
  }

  #counted(outcome: Outcome): OutcomeCount {
    return readCounter(this.#parts.counters, outcomes.indexOf(outcome));
  }

  managedBy(): undefined {}

  pins(): readonly string[] {
    const links = this.#parts.guards.map((guard) => guard.pin).filter((path) => path !== undefined);
    return [...this.#parts.pins, ...links];
  }

  proof(): FenceStatus["proof"] {
    return this.#proof;
  }

  /** Sends test frames through the live program of every interface. */
  prove(nowMs: number): void {
    const { options, stores, guards } = this.#parts;
    const live = guards.filter((guard) => guard.status().attach !== "none");
    if (live.length === 0) {
      this.#proof = undefined;
      return;
    }
    const failed = this.#proof?.passed === false;
    const failure = live
      .map((guard) => {
        const answer = guard.live();
        if (answer === undefined || typeof answer === "string") return answer;
        const { scope, ports, ipv6PrefixBits } = options;
        const question = { stores, scope, ports, ipv6PrefixBits, nowMs };
        const wrong = prove({ ...question, drops: (frame) => this.#drops(answer, frame) });
        return wrong === undefined ? undefined : `interface "${guard.name}": ${wrong}`;
      })
      .find((wrong) => wrong !== undefined);
    this.#proof = { passed: failure === undefined, failure, atMs: nowMs };
    if (failure !== undefined) options.log("error", `The kernel does not block as it should: ${failure}`);
    else if (failed) options.log("info", "The kernel blocks as it should again");
  }

  ask(source: Prefix): KernelAnswer | undefined {
    for (const guard of this.#parts.guards) {
      const live = guard.live();
      const destinationPort = this.#parts.options.ports[0];
      if (live === undefined || typeof live === "string" || destinationPort === undefined) continue;
      return this.#drops(live, tcpFrame(source, { destinationPort })) ? "drop" : "pass";
    }
    return undefined;
  }

  #drops(live: { readonly hook: "xdp" | "tc"; readonly programFd: number }, frame: NativeBuffer): boolean {
    const dropped = drops(this.#parts.libraries, live.programFd, live.hook, frame);
    if (dropped) {
      this.#synthetic.packets++;
      this.#synthetic.bytes += frame.length;
    }
    return dropped;
  }

  tick(nowMs: number): void {
    const { settings, guards } = this.#parts;
    // A process that took over owns the settings now; its link updates are not undone.
    if (!settings.isOurs) return;
    settings.write({ heartbeatMs: nowMs });
    const changed = guards.filter((guard) => guard.tick()).length > 0;
    if (changed || nowMs - (this.#proof?.atMs ?? nowMs) >= proofMs) this.prove(nowMs);
  }

  detach(keep: boolean): boolean {
    const { guards, settings, pins } = this.#parts;
    const ours = settings.isOurs;
    if (keep && ours) settings.write({ daemonPid: 0 });
    const stays = keep || !ours;
    for (const guard of guards) guard.release(stays);
    if (!stays) for (const path of pins) this.#unpin(path);
    return stays;
  }

  /** As another user than root the directory may be closed by now; the maps are empty of effect without links. */
  #unpin(path: string): void {
    const { libraries, options } = this.#parts;
    try {
      unpin(libraries, path);
    } catch (error) {
      options.log("warn", `${String(error)}: remove it with ttgate detach -B ${options.map}`);
    }
  }

  [Symbol.dispose](): void {
    this.#parts.programs[Symbol.dispose]();
  }
}
