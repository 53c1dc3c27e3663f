// SPDX-License-Identifier: Apache-2.0
// Is this host ready for the kernel block, and if not, what to type. Looks and changes nothing: the
// program is loaded for a moment and attached nowhere. Without privilege it tells less, and never fails.
import { existsSync } from "node:fs";
import { release } from "node:os";
import { dirname } from "node:path";
import { bpffsRoot, closeFd, parseMapPlace, writablePath } from "../../../kernel/bpffs.ts";
import { fileSystemType, isReadOnly, readText } from "../../../kernel/files.ts";
import { type Libraries, openLibraries } from "../../../kernel/libraries.ts";
import { capabilitiesInUse, hasCapability, readCapabilities } from "../../../kernel/privileges.ts";
import { interfaceIndex, queryXdp } from "../../../kernel/xdp_query.ts";
import type { Native } from "../../../runtime/types.ts";
import { embeddedObject, type GateObject, loadGate } from "../gate_program.ts";
import { openNamedMap } from "../maps/map_set.ts";
import { btfPath, grantOf, isOlder, missingCapabilities } from "../needs.ts";
import { describeProgram, gateTc, gateXdp, otherReaders, programById, socketChoosers } from "../programs.ts";

export interface ProbeFinding {
  readonly name: string;
  readonly state: "good" | "warning" | "bad";
  readonly found: string;
  /** What to type; null when nothing is missing. */
  readonly remedy: string | null;
}

export interface ProbeOptions {
  readonly native: Native;
  readonly map: string;
  readonly interfaces: readonly string[];
  /** The program has to judge first bytes too: inline mode, or a prefilter. */
  readonly judges?: boolean;
}

const bpfFsMagic = 0xcafe4a11;
const eacces = 13;

const noSysfs = "cannot be looked for: /sys is not mounted";
const mountSysfs = "mount -t sysfs sysfs /sys";

/** What is lost below a version, from the oldest; the floor comes first. */
const versions: readonly { readonly below: readonly [number, number]; readonly loss: string }[] = [
  { below: [5, 13], loss: "lists of ranges load one by one" },
  { below: [5, 15], loss: "no XDP on bonded interfaces" },
  { below: [5, 18], loss: "no native XDP on interfaces with jumbo frames" },
  { below: [5, 19], loss: "CAP_BPF has to be kept to write the map" },
  { below: [6, 6], loss: "where XDP is taken, tc is attached without a link: any tool can take it off" },
];

export async function probeKernel({ native, map, interfaces, judges = false }: ProbeOptions): Promise<ProbeFinding[]> {
  let libraries: Libraries;
  try {
    libraries = await openLibraries(native);
  } catch (error) {
    const remedy = "use a build for this C library (glibc), without MemoryDenyWriteExecute= in the unit";
    return [{ name: "libbpf", state: "bad", found: messageOf(error), remedy }];
  }
  const object = await embeddedObject(judges ? "inline" : "gate");
  const checks: readonly [string, () => ProbeFinding | undefined][] = [
    ["kernel", () => kernelVersion(release())],
    ["privilege", () => privilege(libraries, judges)],
    ["bpffs", () => bpffs(libraries, map)],
    ["btf", () => btf(judges)],
    ["unprivileged", () => unprivileged(libraries)],
    ["jit", () => jit(libraries)],
    ["memlock", () => memlock(libraries, release())],
    ["container", () => container(libraries)],
    ["program", () => program(libraries, object)],
    ["map", () => blockMap(libraries, map)],
    ["sockets", () => sockets(libraries)],
    ...interfaces.map((name): [string, () => ProbeFinding] => ["interface", () => interfaceState(libraries, name)]),
  ];
  return checks.flatMap(([name, check]) => {
    try {
      return check() ?? [];
    } catch (error) {
      return { name, state: "warning", found: `cannot be looked at: ${messageOf(error)}`, remedy: "run as root" };
    }
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @param text as uname gives it. */
export function kernelVersion(text: string): ProbeFinding {
  if (isOlder(text, [5, 10])) {
    return {
      name: "kernel",
      state: "bad",
      found: `${text} is older than 5.10`,
      remedy: "run without -B, or a newer kernel",
    };
  }
  const losses = versions.filter(({ below }) => isOlder(text, below)).map(({ loss }) => loss);
  if (losses.length === 0) return { name: "kernel", state: "good", found: text, remedy: null };
  const remedy = "nothing, unless one of these matters here; 6.6 has everything";
  return { name: "kernel", state: "warning", found: `${text}: ${losses.join("; ")}`, remedy };
}

function privilege({ libc }: Libraries, judges: boolean): ProbeFinding {
  const { effective } = readCapabilities(libc);
  const missing = missingCapabilities(effective, judges);
  const name = "privilege";
  if (missing.length > 0)
    return { name, state: "bad", found: `missing: ${missing.join(", ")}`, remedy: grantOf(missing) };
  const isAdministrator = hasCapability(effective, "CAP_SYS_ADMIN");
  const used = capabilitiesInUse.filter((capability) => isAdministrator || hasCapability(effective, capability));
  const blind = isAdministrator ? "" : "; without CAP_SYS_ADMIN other programs on the map are not seen";
  return { name, state: "good", found: `${used.join(", ")} suffice${blind}`, remedy: null };
}

/** Of the directory that the map stands in. */
function bpffs({ libc }: Libraries, map: string): ProbeFinding {
  const directory = directoryOf(map);
  const type = fileSystemType(libc, directory);
  const name = "bpffs";
  if (type === bpfFsMagic) {
    if (!isReadOnly(libc, writablePath(directory)))
      return { name, state: "good", found: `mounted at ${directory}`, remedy: null };
    const remedy = `mount -o remount,rw ${directory}`;
    return { name, state: "bad", found: `mounted read-only at ${directory}: nothing can be pinned there`, remedy };
  }
  if (!existsSync("/sys/fs")) return { name, state: "bad", found: noSysfs, remedy: mountSysfs };
  const remedy = `mount -t bpf bpf ${directory}`;
  if (type === -eacces)
    return { name, state: "bad", found: `${directory} is closed to this user`, remedy: "run as root" };
  if (type < 0) return { name, state: "bad", found: `${directory} is not there`, remedy };
  return { name, state: "warning", found: `not mounted at ${directory}; the start does it as root`, remedy };
}

/** A map elsewhere than under the usual mount has its own. */
function directoryOf(map: string): string {
  if (!map.startsWith("/") || map.startsWith(`${bpffsRoot}/`)) return bpffsRoot;
  return dirname(map);
}

function btf(judges: boolean): ProbeFinding {
  const name = "btf";
  if (existsSync(btfPath)) return { name, state: "good", found: `${btfPath} is there`, remedy: null };
  const state = judges ? "bad" : "warning";
  // Whether the kernel has it is not known then.
  if (!existsSync("/sys/kernel")) return { name, state, found: noSysfs, remedy: mountSysfs };
  const found = `none (CONFIG_DEBUG_INFO_BTF)${judges ? "" : ": proxy mode does not need it"}`;
  return { name, state, found, remedy: "a distribution kernel, for inline mode" };
}

function unprivileged({ libc }: Libraries): ProbeFinding {
  const value = readText(libc, "/proc/sys/kernel/unprivileged_bpf_disabled").trim();
  if (value !== "0")
    return { name: "unprivileged", state: "good", found: `BPF is for the privileged (${value})`, remedy: null };
  const found = "any user may load BPF programs: not needed by ttgate";
  return { name: "unprivileged", state: "warning", found, remedy: "sysctl kernel.unprivileged_bpf_disabled=2" };
}

function jit({ libc }: Libraries): ProbeFinding | undefined {
  const path = "/proc/sys/net/core/bpf_jit_enable";
  // Another network namespace than the first has no such setting.
  if (!existsSync(path) || readText(libc, path).trim() !== "0") return undefined;
  return {
    name: "jit",
    state: "warning",
    found: "programs are interpreted",
    remedy: "sysctl net.core.bpf_jit_enable=1",
  };
}

/** Locked memory counts for maps before 5.11 only. */
function memlock({ libc }: Libraries, version: string): ProbeFinding | undefined {
  if (!isOlder(version, [5, 11])) return undefined;
  const limit = /^Max locked memory\s+(\S+)/m.exec(readText(libc, "/proc/self/limits"))?.[1] ?? "unknown";
  if (limit === "unlimited") return { name: "memlock", state: "good", found: limit, remedy: null };
  return {
    name: "memlock",
    state: "warning",
    found: `${limit} bytes may be locked`,
    remedy: "LimitMEMLOCK=infinity in the unit",
  };
}

function container({ libc }: Libraries): ProbeFinding | undefined {
  const [, , users] = readText(libc, "/proc/self/uid_map").trim().split(/\s+/);
  if (users !== undefined && Number(users) < 0xffffffff) {
    const found = "in a user namespace: the kernel gives no BPF there";
    return {
      name: "container",
      state: "bad",
      found,
      remedy: "start it outside of the container, or as its host's root",
    };
  }
  const marker = ["/.dockerenv", "/run/.containerenv"].find((path) => existsSync(path));
  if (marker === undefined) return undefined;
  const found = `in a container (${marker})`;
  const remedy = `docker run --network host --cap-add BPF,NET_ADMIN,PERFMON -v ${bpffsRoot}:${bpffsRoot} ...`;
  return { name: "container", state: "warning", found, remedy };
}

function program(libraries: Libraries, object: GateObject): ProbeFinding {
  try {
    using loaded = loadGate(libraries, object, { flavour: { kind: "own" }, ipv4Fd: undefined, own: {} });
    loaded.tcFd("ethernet");
    const judging = object.kind === "inline" ? ", which judge first bytes" : "";
    const found = `the kernel takes the XDP and the tc program${judging}`;
    return { name: "program", state: "good", found, remedy: null };
  } catch (error) {
    return {
      name: "program",
      state: "bad",
      found: messageOf(error),
      remedy: "run as root; otherwise report this line",
    };
  }
}

function blockMap(libraries: Libraries, map: string): ProbeFinding {
  const name = "map";
  try {
    const place = parseMapPlace(map);
    const named = openNamedMap(libraries, place);
    if (named === undefined)
      return { name, state: "good", found: `${place.path} is not there yet: ttgate makes it`, remedy: null };
    const readers = named.flavour.kind === "ipv4" ? (otherReaders(libraries, named.info.id) ?? []) : [];
    closeFd(libraries, named.fd);
    const layout =
      named.flavour.kind === "own" ? "ttgate's layout" : `IPv4 addresses, value ${named.flavour.valueBytes}`;
    const read = readers.map(({ id }) => describeProgram(libraries, id)).join(", ");
    const found = `${map}: ${layout}, ${named.info.maxEntries} entries${read === "" ? "" : `, read by ${read}`}`;
    return { name, state: "good", found, remedy: null };
  } catch (error) {
    const [found, remedy] = splitRemedy(messageOf(error));
    return { name, state: "bad", found, remedy };
  }
}

/** Errors end with what to do. */
function splitRemedy(message: string): [string, string] {
  const at = message.lastIndexOf(": ");
  return at < 0 ? [message, "name another map with -B"] : [message.slice(0, at), message.slice(at + 2)];
}

function sockets(libraries: Libraries): ProbeFinding | undefined {
  const programs = socketChoosers(libraries).map((id) => describeProgram(libraries, id));
  if (programs.length === 0) return undefined;
  const found = `${programs.join(", ")} may lead connections to another socket, past the gate (sk_lookup)`;
  return { name: "sockets", state: "warning", found, remedy: "bpftool link; take it off if it is not meant to" };
}

function interfaceState(libraries: Libraries, name: string): ProbeFinding {
  const ifindex = interfaceIndex(libraries, name);
  if (ifindex === 0) {
    return { name: "interface", state: "bad", found: `${name} is not there`, remedy: "ip -brief link" };
  }
  const { programId, mode } = queryXdp(libraries, ifindex);
  if (mode === "none") return { name: "interface", state: "good", found: `${name}: free for XDP`, remedy: null };
  const holder = programById(libraries, programId)?.name;
  if (holder === gateXdp || holder === gateTc) {
    return { name: "interface", state: "good", found: `${name}: guarded by ttgate (${mode})`, remedy: null };
  }
  const found = `${name}: ${describeProgram(libraries, programId)} is attached (${mode}); ttgate goes beside it by tc`;
  return { name: "interface", state: "warning", found, remedy: `ip link set dev ${name} xdp off, if it is not needed` };
}
