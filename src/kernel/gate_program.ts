// SPDX-License-Identifier: Apache-2.0
// Our programs, loaded over a given set of maps, with the best way to read packets that the kernel and
// our capabilities allow; checks that the object's structs are as big as this side writes them.
import type { NativeBuffer } from "../runtime/types.ts";
import { type BpfObject, loadObject, type ObjectPlan } from "./bpf_object.ts";
import { KernelError } from "./errno.ts";
import { FenceError } from "./fence_error.ts";
import { structBytes } from "./layout.ts";
import type { Libraries } from "./libraries.ts";
import type { Flavour, OwnMap } from "./map_set.ts";
import { ownMaps } from "./map_set.ts";
import { gateTc, gateXdp } from "./programs.ts";

/** include/uapi/linux/bpf.h: frames of more than one buffer are judged too. */
const xdpHasFrags = 1 << 5;

/** What bpf/frame.h asks for, the best first. The helpers for XDP are of kernel 5.18; before, all takes CAP_PERFMON. */
const waysToRead = [
  { flags: xdpHasFrags, constants: { multi_buffer: 1, without_perfmon: 0 } },
  { flags: xdpHasFrags, constants: { multi_buffer: 1, without_perfmon: 1 } },
  { flags: 0, constants: { multi_buffer: 0, without_perfmon: 0 } },
] as const;
/** The flag is not known; the verifier refused. */
const nextWay: ReadonlySet<string> = new Set(["EINVAL", "EACCES"]);

/** The documented map's name in the object. */
const ipv4Map = "ipv4_bans";

export interface GateMaps {
  readonly flavour: Flavour;
  /** The documented map, where -B names one. */
  readonly ipv4Fd: number | undefined;
  /** Of ours, those that are there. */
  readonly own: Partial<Record<OwnMap, number>>;
}

export async function embeddedObject(): Promise<NativeBuffer> {
  const { bpfObject } = await import("../generated/bpf_object.ts");
  return Uint8Array.fromBase64(bpfObject);
}

export interface GatePrograms extends Disposable {
  mapFd(name: OwnMap | typeof ipv4Map): number;
  readonly xdpFd: number;
  /** Loaded when it is first asked for: the verifier takes its time. @throws KernelError */
  tcFd(): number;
}

/** @throws FenceError without privilege, KernelError with the verifier's words otherwise. */
export function loadGate(libraries: Libraries, object: NativeBuffer, maps: GateMaps): GatePrograms {
  const ipv4 = maps.ipv4Fd === undefined ? {} : { [ipv4Map]: maps.ipv4Fd };
  const ipv4ValueSize = maps.flavour.kind === "ipv4" ? maps.flavour.valueBytes : 0;
  const load = (
    own: GateMaps["own"],
    programs: ObjectPlan["programs"],
    constants: ObjectPlan["constants"] = {},
  ): BpfObject =>
    loadObject(libraries, object, {
      reuse: { ...own, ...ipv4 },
      create: ownMaps,
      programs,
      constants: { ipv4_value_size: ipv4ValueSize, ...constants },
    });
  const xdp = explained(() => {
    let refusal: unknown;
    for (const { flags, constants } of waysToRead) {
      try {
        return load(maps.own, { [gateXdp]: flags }, constants);
      } catch (error) {
        if (!(error instanceof KernelError) || !nextWay.has(error.code)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  });
  let tc: BpfObject | undefined;
  const programs: GatePrograms = {
    mapFd: (name) => xdp.mapFd(name),
    xdpFd: xdp.programFd(gateXdp),
    tcFd() {
      tc ??= load(Object.fromEntries(ownMaps.map((name) => [name, xdp.mapFd(name)])), { [gateTc]: 0 });
      return tc.programFd(gateTc);
    },
    [Symbol.dispose]() {
      tc?.[Symbol.dispose]();
      xdp[Symbol.dispose]();
    },
  };
  try {
    requireSizes(xdp);
  } catch (error) {
    programs[Symbol.dispose]();
    throw error;
  }
  return programs;
}

function explained(load: () => BpfObject): BpfObject {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "EPERM") throw error;
    throw new FenceError(
      "The kernel block needs root or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as root, or without -B",
      { cause: error },
    );
  }
}

function requireSizes(object: BpfObject): void {
  for (const [struct, expected] of Object.entries(structBytes)) {
    const found = object.structBytes(struct);
    if (found !== expected) {
      throw new Error(
        `The BPF object's struct ${struct} has ${found} bytes, this ttgate writes ${expected}: build both again with make bpf`,
      );
    }
  }
}
