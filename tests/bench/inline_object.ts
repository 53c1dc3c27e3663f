// SPDX-License-Identifier: Apache-2.0
// The programs that production loads, each in the ways that it has to read packets, and for inline mode
// with signatures and settings in place.

import { loadSignatureTable } from "../../src/config/profile.ts";
import type { GateObject } from "../../src/fences/xdp/gate_program.ts";
import { Guarded } from "../../src/fences/xdp/guarded.ts";
import { InlineJudge } from "../../src/fences/xdp/inline/inline_judge.ts";
import { inlineMaps } from "../../src/fences/xdp/inline/inline_maps.ts";
import { ownMaps } from "../../src/fences/xdp/maps/map_set.ts";
import { SettingsMap } from "../../src/fences/xdp/maps/settings_map.ts";
import { gateTc, gateXdp, inlineBegin } from "../../src/fences/xdp/programs.ts";
import { openMap } from "../../src/kernel/bpf_map.ts";
import { type BpfObject, loadObject } from "../../src/kernel/bpf_object.ts";
import type { Libraries } from "../../src/kernel/libraries.ts";

/** BPF_F_XDP_HAS_FRAGS. */
export const xdpHasFrags = 1 << 5;

export type Way = "XDP" | "XDP before kernel 5.18" | "tc";

export interface LoadedGate extends Disposable {
  readonly programFd: number;
  /** Of inline mode. */
  readonly judge: InlineJudge | undefined;
}

export interface LoadOptions {
  readonly ports: readonly number[];
  readonly dryRun?: boolean;
}

/** Nobody is banned; of inline mode, connections that are opened from now on are judged. */
export function loadGateWay(libraries: Libraries, gate: GateObject, way: Way, options: LoadOptions): LoadedGate {
  const isInline = gate.kind === "inline";
  const multiBuffer = way === "XDP";
  const name = way === "tc" ? gateTc : gateXdp;
  const object = loadObject(libraries, gate.bytes, {
    reuse: {},
    create: isInline ? [...ownMaps, ...inlineMaps] : ownMaps,
    programs: { [name]: multiBuffer ? xdpHasFrags : 0, ...(isInline ? { [inlineBegin]: 0 } : {}) },
    constants: { multi_buffer: multiBuffer ? 1 : 0 },
  });
  new SettingsMap(openMap(libraries, object.mapFd("ttgate_settings")), {
    ...{ scope: "port", ipv6PrefixBits: 64, ports: options.ports, heartbeatMs: 0 },
  }).write({});
  return {
    programFd: object.programFd(name),
    judge: isInline ? beginJudge(libraries, object, options) : undefined,
    [Symbol.dispose]: () => object[Symbol.dispose](),
  };
}

function beginJudge(libraries: Libraries, object: BpfObject, { dryRun = false, ports }: LoadOptions): InlineJudge {
  const programs = { mapFd: (name: string) => object.mapFd(name), beginFd: object.programFd(inlineBegin) };
  const table = loadSignatureTable("tapetrack");
  const judging = dryRun ? ("dry run" as const) : ("enforce" as const);
  const gates = ports.map((port) => ({ port, table, banMs: 600_000, bounce: false, judging, passes: [] }));
  const judge = new InlineJudge(libraries, programs, new Guarded(ports, "port"), { gates, ipv6PrefixBits: 64 });
  judge.begin();
  return judge;
}
