// SPDX-License-Identifier: Apache-2.0
// ttgate's own program on its interfaces, with its settings and counters. Detaches, unpins and forgets
// on a deliberate stop; leaves everything to the pins otherwise.
import type { FenceInterface, FenceStatus } from "../core/fence.ts";
import type { BpfMap } from "./bpf_map.ts";
import type { GatePrograms } from "./gate_program.ts";
import type { InterfaceGuard } from "./interface_guard.ts";
import { type Outcome, type OutcomeCount, outcomes, sumCounter } from "./layout.ts";
import { nativeBytes } from "./native_bytes.ts";
import type { PacketFilter } from "./packet_filter.ts";
import type { SettingsMap } from "./settings_map.ts";

export interface OwnFilterParts {
  readonly programs: GatePrograms;
  readonly guards: readonly InterfaceGuard[];
  readonly settings: SettingsMap;
  readonly counters: BpfMap;
  /** Takes the names of ttgate's maps away. */
  readonly unpinMaps: () => void;
}

export class OwnFilter implements PacketFilter {
  readonly #parts: OwnFilterParts;

  constructor(parts: OwnFilterParts) {
    this.#parts = parts;
  }

  interfaces(): readonly FenceInterface[] {
    return this.#parts.guards.map((guard) => guard.status());
  }

  dropped(): OutcomeCount {
    const exact = this.#counted("drop_ban");
    const ranges = this.#counted("drop_cidr");
    return { packets: exact.packets + ranges.packets, bytes: exact.bytes + ranges.bytes };
  }

  #counted(outcome: Outcome): OutcomeCount {
    const key = nativeBytes(4);
    new DataView(key.buffer).setUint32(0, outcomes.indexOf(outcome), true);
    const value = this.#parts.counters.lookup(key);
    return value === undefined ? { packets: 0, bytes: 0 } : sumCounter(value);
  }

  managedBy(): undefined {}

  proof(): FenceStatus["proof"] {
    return undefined;
  }

  tick(nowMs: number): void {
    this.#parts.settings.write({ heartbeatMs: nowMs });
    for (const guard of this.#parts.guards) guard.tick();
  }

  detach(keep: boolean): boolean {
    const { guards, settings, unpinMaps } = this.#parts;
    const ours = settings.isOurs;
    if (keep && ours) settings.write({ daemonPid: 0 });
    const stays = keep || !ours;
    for (const guard of guards) guard.release(stays);
    if (!stays) unpinMaps();
    return stays;
  }

  [Symbol.dispose](): void {
    this.#parts.programs[Symbol.dispose]();
  }
}
