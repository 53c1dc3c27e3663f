// SPDX-License-Identifier: Apache-2.0
// Our programs, loaded over a given set of maps, with the best way to read packets that the kernel and
// our capabilities allow; checks that the object's structs are as big as this side writes them.
import { Failure, Unsupported } from "../../failure.ts";
import { type BpfObject, loadObject, type ObjectPlan, requireSizes } from "../../kernel/bpf_object.ts";
import { KernelError } from "../../kernel/errno.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import type { LinkHeader } from "../../kernel/link_header.ts";
import type { NativeBuffer } from "../../runtime/types.ts";
import { inlineStructBytes } from "./inline/inline_layout.ts";
import { type InlineMap, inlineMaps } from "./inline/inline_maps.ts";
import { structBytes } from "./maps/layout.ts";
import type { Flavour, OwnMap } from "./maps/map_set.ts";
import { ownMaps } from "./maps/map_set.ts";
import { missingForJudging, refusalOf } from "./needs.ts";
import { gateTc, gateXdp, inlineBegin } from "./programs.ts";

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
  /** Of the judging program before, which this one goes on with. */
  readonly inline?: Partial<Record<InlineMap, number>> | undefined;
}

/** `gate`: drops who is banned. `inline`: judges first bytes too. */
export type ObjectKind = "gate" | "inline";

export interface GateObject {
  readonly kind: ObjectKind;
  readonly bytes: NativeBuffer;
}

export async function embeddedObject(kind: ObjectKind): Promise<GateObject> {
  const { bpfObject } =
    kind === "gate" ? await import("../../generated/bpf_object.ts") : await import("../../generated/inline_object.ts");
  return { kind, bytes: Uint8Array.fromBase64(bpfObject) };
}

export interface GatePrograms extends Disposable {
  mapFd(name: OwnMap | InlineMap | typeof ipv4Map): number;
  /** Those for other interfaces than Ethernet are loaded when first asked for. @throws KernelError */
  xdpFd(header: LinkHeader): number;
  /** Marks the beginning of judging. Of the inline object only. */
  readonly beginFd: number;
  /** Loaded when it is first asked for: the verifier takes its time. @throws KernelError */
  tcFd(header: LinkHeader): number;
}

/** @throws Failure without privilege, KernelError with the verifier's words otherwise. */
export function loadGate(libraries: Libraries, { kind, bytes }: GateObject, maps: GateMaps): GatePrograms {
  const isInline = kind === "inline";
  const create = isInline ? [...ownMaps, ...inlineMaps] : ownMaps;
  const ipv4 = maps.ipv4Fd === undefined ? {} : { [ipv4Map]: maps.ipv4Fd };
  const ipv4ValueSize = maps.flavour.kind === "ipv4" ? maps.flavour.valueBytes : 0;
  const load = (
    own: Readonly<Record<string, number>>,
    programs: ObjectPlan["programs"],
    constants: ObjectPlan["constants"] = {},
  ): BpfObject =>
    loadObject(libraries, bytes, {
      reuse: { ...own, ...ipv4 },
      create,
      programs,
      constants: { ipv4_value_size: ipv4ValueSize, ...constants },
    });
  /** As the kernel takes it. */
  let way: (typeof waysToRead)[number] = waysToRead[0];
  const xdp = explained(libraries, kind, () => {
    let refusal: unknown;
    for (const tried of waysToRead) {
      const { flags, constants } = tried;
      // What the kernel knows of its sockets takes CAP_PERFMON anyway.
      if (isInline && constants.without_perfmon === 1) continue;
      try {
        way = tried;
        return load(
          { ...maps.own, ...(isInline ? maps.inline : {}) },
          { [gateXdp]: flags, ...(isInline ? { [inlineBegin]: 0 } : {}) },
          constants,
        );
      } catch (error) {
        if (!(error instanceof KernelError) || !nextWay.has(error.code)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  });
  /** Over the same maps, by name and header. */
  const others = new Map<string, BpfObject>();
  const other = (name: string, header: LinkHeader, flags: number, constants: ObjectPlan["constants"]): number => {
    const key = `${name} ${header}`;
    const shared = () => Object.fromEntries(create.map((map) => [map, xdp.mapFd(map)]));
    const withoutEthernet = header === "none" ? 1 : 0;
    const object =
      others.get(key) ?? load(shared(), { [name]: flags }, { ...constants, without_ethernet: withoutEthernet });
    others.set(key, object);
    return object.programFd(name);
  };
  const programs: GatePrograms = {
    mapFd: (name) => xdp.mapFd(name),
    xdpFd: (header) =>
      header === "ethernet" ? xdp.programFd(gateXdp) : other(gateXdp, header, way.flags, way.constants),
    get beginFd() {
      return xdp.programFd(inlineBegin);
    },
    tcFd: (header) => other(gateTc, header, 0, {}),
    [Symbol.dispose]() {
      for (const object of others.values()) object[Symbol.dispose]();
      xdp[Symbol.dispose]();
    },
  };
  try {
    requireSizes(xdp, isInline ? { ...structBytes, ...inlineStructBytes } : structBytes);
  } catch (error) {
    programs[Symbol.dispose]();
    throw error;
  }
  return programs;
}

function explained({ libc }: Libraries, kind: ObjectKind, load: () => BpfObject): BpfObject {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.code === "EPERM") throw new Unsupported(refusalOf(libc, kind === "inline"), { cause: error });
    if (kind === "gate") throw error;
    const missing = missingForJudging(libc);
    const why = missing.length === 0 ? "" : `, which takes ${missing.join(", ")}`;
    throw new Failure(`Cannot judge in the kernel${why}: use --mode proxy without --prefilter (${error.message})`, {
      exitCode: 3,
      cause: error,
    });
  }
}
