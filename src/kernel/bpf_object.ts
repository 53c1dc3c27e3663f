// SPDX-License-Identifier: Apache-2.0
// One BPF object, opened from memory and loaded into the kernel: which maps it shares with what is
// pinned already, which of its programs are wanted, the values of its constants. Owns the descriptors
// until it is disposed of. On failure the error carries the end of the verifier's log.
import type { NativeBuffer } from "../runtime/types.ts";
import { check, KernelError } from "./errno.ts";
import type { Libraries } from "./libraries.ts";
import { cString, nativeBytes } from "./native_bytes.ts";

/** include/uapi/linux/btf.h */
const btfKindStruct = 4;
const btfKindDatasec = 15;

/** struct bpf_object_open_opts of libbpf 1.1. */
const optionsBytes = 80;
/**
 * Kernels before 6.4 fail a load whose log does not fit, and hide its reason; this is the most that older ones
 * take. Pages that are not written cost nothing.
 */
const logBytes = (1 << 24) - 1;
/** The reason stands in the last lines, before the statistics. */
const logTailLines = 4;

export interface ObjectPlan {
  /** Descriptors of maps that are there already, by the name in the object. Must have its geometry. */
  readonly reuse: Readonly<Record<string, number>>;
  /** Maps to make; the object's others are left out, and no loaded program may reach them. */
  readonly create: readonly string[];
  /** Programs to load, with their BPF_PROG_LOAD flags; the others stay out. */
  readonly programs: Readonly<Record<string, number>>;
  /** `const volatile __u32` of the object, by name. */
  readonly constants: Readonly<Record<string, number>>;
}

export interface BpfObject extends Disposable {
  /** @throws Error when the object has no such map. */
  mapFd(name: string): number;
  /** @throws Error when the object has no such program. */
  programFd(name: string): number;
  /** Bytes of a struct as the object's BTF tells; undefined when no map or program uses it. */
  structBytes(name: string): number | undefined;
}

/** @throws KernelError with the verifier's last lines. */
export function loadObject(libraries: Libraries, bytes: NativeBuffer, plan: ObjectPlan): BpfObject {
  const { bpf, native } = libraries;
  const log = nativeBytes(logBytes);
  // The name stands behind the struct: what is only known by its address may be collected.
  const name = cString("ttgate");
  const options = nativeBytes(optionsBytes + name.length);
  options.set(name, optionsBytes);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, BigInt(optionsBytes), true);
  view.setBigUint64(8, native.address(options) + BigInt(optionsBytes), true);
  view.setBigUint64(56, native.address(log), true);
  view.setBigUint64(64, BigInt(log.length), true);
  const handle = bpf.bpf_object__open_mem(bytes, BigInt(bytes.length), options);
  if (handle === 0n) {
    const errno = -Number(bpf.libbpf_get_error(0n)) || 22;
    throw new KernelError("Open the BPF object", errno, "it is damaged: build it again with make bpf");
  }

  // A map that is reused takes the name of the one in its place: it is looked up before that.
  const maps = mapHandles(libraries, handle);
  const find = (what: "map" | "program", wanted: string): bigint => {
    const found = what === "map" ? maps.get(wanted) : bpf.bpf_object__find_program_by_name(handle, cString(wanted));
    if (found === undefined || found === 0n)
      throw new Error(`The BPF object has no ${what} "${wanted}": build it again with make bpf`);
    return found;
  };

  try {
    chooseMaps(libraries, maps, new Set([...plan.create, ...Object.keys(plan.reuse)]));
    for (const [map, fd] of Object.entries(plan.reuse)) {
      check(`Use map "${map}" that is there`, bpf.bpf_map__reuse_fd(find("map", map), fd));
    }
    for (let program = 0n; ; ) {
      program = bpf.bpf_object__next_program(handle, program);
      if (program === 0n) break;
      const flags = plan.programs[native.text(bpf.bpf_program__name(program))];
      check("Choose the programs", bpf.bpf_program__set_autoload(program, flags === undefined ? 0 : 1));
      if (flags) check("Set the program's flags", bpf.bpf_program__set_flags(program, flags));
    }
    setConstants(libraries, handle, plan.constants);
    const result = bpf.bpf_object__load(handle);
    if (result < 0) throw new KernelError("Load the BPF program", -result, logTail(log));
  } catch (error) {
    bpf.bpf_object__close(handle);
    throw error;
  }

  const btf = bpf.bpf_object__btf(handle);
  let closed = false;
  return {
    mapFd: (map) => check(`Use map "${map}"`, bpf.bpf_map__fd(find("map", map))),
    programFd: (program) => check(`Use program "${program}"`, bpf.bpf_program__fd(find("program", program))),
    structBytes(struct) {
      const id = bpf.btf__find_by_name_kind(btf, cString(struct), btfKindStruct);
      return id < 0 ? undefined : Number(bpf.btf__resolve_size(btf, id));
    },
    [Symbol.dispose]() {
      if (closed) return;
      closed = true;
      bpf.bpf_object__close(handle);
    },
  };
}

/** The object's maps by the names that its source gives them. */
function mapHandles({ bpf, native }: Libraries, handle: bigint): ReadonlyMap<string, bigint> {
  const maps = new Map<string, bigint>();
  for (let map = 0n; ; ) {
    map = bpf.bpf_object__next_map(handle, map);
    if (map === 0n) return maps;
    maps.set(native.text(bpf.bpf_map__name(map)), map);
  }
}

/** libbpf would make every map of the object, used or not. Those of its sections have a dot in the name. */
function chooseMaps({ bpf }: Libraries, maps: ReadonlyMap<string, bigint>, wanted: ReadonlySet<string>): void {
  for (const [name, map] of maps) {
    const chosen = wanted.has(name) || name.includes(".");
    check(`Choose map "${name}"`, bpf.bpf_map__set_autocreate(map, chosen ? 1 : 0));
  }
}

/** Constants stand in one read-only map; BTF tells where in it each of them lies. */
function setConstants(libraries: Libraries, handle: bigint, constants: Readonly<Record<string, number>>): void {
  if (Object.keys(constants).length === 0) return;
  const { bpf, native } = libraries;
  const map = rodataMap(libraries, handle);
  const sizeOut = nativeBytes(8);
  const address = bpf.bpf_map__initial_value(map, sizeOut);
  const bytes = native.read(address, Number(new DataView(sizeOut.buffer).getBigUint64(0, true)));
  const offsets = variableOffsets(libraries, bpf.bpf_object__btf(handle));
  for (const [name, value] of Object.entries(constants)) {
    const offset = offsets.get(name);
    if (offset === undefined) throw new Error(`The BPF object has no constant "${name}": build it again with make bpf`);
    new DataView(bytes.buffer).setUint32(offset, value, true);
  }
  check("Set the BPF object's constants", bpf.bpf_map__set_initial_value(map, bytes, BigInt(bytes.length)));
}

/** libbpf names it after the object, cut to what the kernel takes. */
function rodataMap({ bpf, native }: Libraries, handle: bigint): bigint {
  for (let map = 0n; ; ) {
    map = bpf.bpf_object__next_map(handle, map);
    if (map === 0n) throw new Error("The BPF object has no constants: build it again with make bpf");
    if (native.text(bpf.bpf_map__name(map)).endsWith(".rodata")) return map;
  }
}

/** struct btf_type {name, info, size} with, for a section, struct btf_var_secinfo {type, offset, size} behind it. */
function variableOffsets({ bpf, native }: Libraries, btf: bigint): ReadonlyMap<string, number> {
  const id = check(
    "Find the BPF object's constants",
    bpf.btf__find_by_name_kind(btf, cString(".rodata"), btfKindDatasec),
  );
  const section = bpf.btf__type_by_id(btf, id);
  const count = new DataView(native.read(section, 12).buffer).getUint32(4, true) & 0xffff;
  const variables = new DataView(native.read(section + 12n, count * 12).buffer);
  const offsets = new Map<string, number>();
  for (let index = 0; index < count; index++) {
    const variable = bpf.btf__type_by_id(btf, variables.getUint32(index * 12, true));
    const nameOffset = new DataView(native.read(variable, 4).buffer).getUint32(0, true);
    offsets.set(native.text(bpf.btf__name_by_offset(btf, nameOffset)), variables.getUint32(index * 12 + 4, true));
  }
  return offsets;
}

function logTail(log: NativeBuffer): string {
  const text = new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("processed "));
  return lines.slice(-logTailLines).join("; ");
}

/** @throws Error where object and ttgate are not of the same build. */
export function requireSizes(object: BpfObject, sizes: Readonly<Record<string, number>>): void {
  for (const [struct, expected] of Object.entries(sizes)) {
    const found = object.structBytes(struct);
    if (found !== expected) {
      throw new Error(
        `The BPF object's struct ${struct} has ${found} bytes, this ttgate writes ${expected}: build both again with make bpf`,
      );
    }
  }
}
