// SPDX-License-Identifier: Apache-2.0
// The program of bpf/ttgate.bpf.c, loaded with maps of its own and run on frames by the kernel
// (BPF_PROG_TEST_RUN): in either hook, over either flavour of map, at a time that the test sets.
import { isIpv4, type Prefix, requirePrefix } from "../../src/core/address.ts";
import { embeddedObject } from "../../src/fences/xdp/gate_program.ts";
import { type OutcomeCount, outcomes, structBytes, sumCounter } from "../../src/fences/xdp/maps/layout.ts";
import { loadObject } from "../../src/kernel/bpf_object.ts";
import { closeFd } from "../../src/kernel/bpffs.ts";
import { check } from "../../src/kernel/errno.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { cString, nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { runProgram } from "./test_run.ts";

/** A hook, and how the program reads packets there (bpf/frame.h). */
export const ways = ["xdp", "xdp before kernel 5.18", "xdp without CAP_PERFMON", "tc"] as const;
export type Way = (typeof ways)[number];
/** ttgate's own map, or the documented one with seconds or nanoseconds in it. */
export type MapFlavour = "own" | "seconds" | "nanoseconds";

export const guardedPort = 5000;
export const otherPort = 5001;
export const secondNs = 1_000_000_000n;
/** CLOCK_BOOTTIME of the tests. */
export const nowNs = 1_000n * secondNs;

export interface GateOptions {
  readonly way?: Way;
  readonly flavour?: MapFlavour;
  /** The program that production loads, which reads the clock itself. */
  readonly live?: boolean;
}

export interface SettingsChange {
  readonly magic?: number;
  readonly layout?: number;
  readonly scope?: number;
  readonly ipv6Bits?: number;
  readonly cidrEntries?: number;
  readonly ports?: readonly number[];
}

/** A ban's counts in the map. */
export interface BanCounts {
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly lastSeenNs: bigint;
}

export interface Gate extends Disposable {
  readonly programFd: number;
  /** Everything that is not named goes back to: port scope, port 5000, /64, no CIDR entries. */
  configure(change: SettingsChange): void;
  /** @param endNs 0n: without an end. */
  ban(address: string, endNs?: bigint): void;
  /** The value as it stands, into the map that holds bans of this address's family. */
  write(address: string, value: NativeBuffer): void;
  banCidr(prefix: string, endNs?: bigint): void;
  /** Undefined: there is no such entry. */
  counts(address: string): BanCounts | undefined;
  cidrCounts(prefix: string): BanCounts | undefined;
  counters(): Readonly<Record<(typeof outcomes)[number], OutcomeCount>>;
  drops(frame: NativeBuffer): boolean;
  /** The only outcome that was counted for the frame, which agrees with what became of it. */
  outcome(frame: NativeBuffer): (typeof outcomes)[number];
}

const xdpHasFrags = 1 << 5;
const mapTypeHash = 1;
const noPreallocation = 1;
const mapEntries = 1024;

const xdpDrop = 1;
const xdpPass = 2;
const tcShot = 2;
/** TC_ACT_UNSPEC. */
const tcNext = 0xffff_ffff;

export async function openGate(options: GateOptions = {}): Promise<Gate> {
  const { way = "xdp", flavour = "own", live = false } = options;
  const hook = way === "tc" ? "tc" : "xdp";
  const multiBuffer = way === "xdp" || way === "xdp without CAP_PERFMON";
  const libraries = await openLibraries(native);
  const { bpf } = libraries;
  const valueBytes = flavour === "own" ? 0 : flavour === "seconds" ? 4 : 8;
  const name = `gate_${hook}${live ? "" : "_at"}`;
  const ipv4Fd = valueBytes === 0 ? undefined : makeHash(libraries, "tapetrack_block", [4, valueBytes], 0);
  // Small: the object's own has a million places, which take a while to clear for each test.
  const bansFd = makeHash(libraries, "ttgate_bans", [structBytes.ban_key, structBytes.ban], noPreallocation);
  const object = loadObject(libraries, (await embeddedObject("gate")).bytes, {
    reuse: { ttgate_bans: bansFd, ...(ipv4Fd === undefined ? {} : { ipv4_bans: ipv4Fd }) },
    create: ["ttgate_cidr", "ttgate_settings", "ttgate_counters"],
    programs: { [name]: multiBuffer ? xdpHasFrags : 0 },
    constants: {
      ipv4_value_size: valueBytes,
      multi_buffer: multiBuffer ? 1 : 0,
      without_perfmon: way === "xdp without CAP_PERFMON" ? 1 : 0,
    },
  });
  const programFd = object.programFd(name);
  const cpus = check("Count the CPUs", bpf.libbpf_num_possible_cpus());

  const put = (fd: number, key: NativeBuffer, value: NativeBuffer): void => {
    check("Write a map entry", bpf.bpf_map_update_elem(fd, key, value, 0n));
  };
  const read = (fd: number, key: NativeBuffer): BanCounts | undefined => {
    const value = nativeBytes(structBytes.ban);
    if (bpf.bpf_map_lookup_elem(fd, key, value) < 0) return undefined;
    const view = new DataView(value.buffer);
    const u64 = (offset: number) => view.getBigUint64(offset, true);
    return { packets: u64(8), bytes: u64(16), lastSeenNs: u64(32) };
  };
  const gate: Gate = {
    programFd,
    configure(change) {
      put(object.mapFd("ttgate_settings"), nativeBytes(4), settingsValue(change));
    },
    ban(address, endNs = 0n) {
      const wide = flavour === "own" || !isIpv4(requirePrefix(address));
      gate.write(address, wide ? banValue(endNs) : endValue(endNs, valueBytes));
    },
    write(address, value) {
      const prefix = requirePrefix(address);
      if (ipv4Fd !== undefined && isIpv4(prefix)) put(ipv4Fd, copyOf(prefix.bytes.subarray(12)), value);
      else put(bansFd, copyOf(prefix.bytes), value);
    },
    banCidr: (prefix, endNs = 0n) => put(object.mapFd("ttgate_cidr"), cidrKey(requirePrefix(prefix)), banValue(endNs)),
    counts: (address) => read(bansFd, copyOf(requirePrefix(address).bytes)),
    cidrCounts: (prefix) => read(object.mapFd("ttgate_cidr"), cidrKey(requirePrefix(prefix))),
    counters() {
      const key = nativeBytes(4);
      const value = nativeBytes(cpus * structBytes.counter);
      const entries = outcomes.map((outcome, index) => {
        new DataView(key.buffer).setUint32(0, index, true);
        check("Read a counter", bpf.bpf_map_lookup_elem(object.mapFd("ttgate_counters"), key, value));
        return [outcome, sumCounter(value)];
      });
      return Object.fromEntries(entries);
    },
    drops(frame) {
      const { verdict } = runProgram(libraries, programFd, frame);
      if (verdict === (hook === "xdp" ? xdpDrop : tcShot)) return true;
      if (verdict === (hook === "xdp" ? xdpPass : tcNext)) return false;
      throw new Error(`Verdict ${verdict} is neither a drop nor a pass`);
    },
    outcome(frame) {
      const before = gate.counters();
      const dropped = gate.drops(frame);
      const after = gate.counters();
      const counted = outcomes.filter((outcome) => after[outcome].packets !== before[outcome].packets);
      const [outcome] = counted;
      if (outcome === undefined || counted.length > 1) throw new Error(`Counted as ${JSON.stringify(counted)}`);
      if (after[outcome].packets !== before[outcome].packets + 1) throw new Error(`Counted more than once: ${outcome}`);
      if (after[outcome].bytes !== before[outcome].bytes + frame.length) {
        throw new Error(`Counted ${after[outcome].bytes - before[outcome].bytes} of ${frame.length} bytes: ${outcome}`);
      }
      if (dropped !== outcome.startsWith("drop")) throw new Error(`Counted as ${outcome}, but dropped: ${dropped}`);
      return outcome;
    },
    [Symbol.dispose]() {
      object[Symbol.dispose]();
      closeFd(libraries, bansFd);
      if (ipv4Fd !== undefined) closeFd(libraries, ipv4Fd);
    },
  };
  gate.configure({});
  return gate;
}

function makeHash(
  { bpf }: Libraries,
  name: string,
  [keyBytes, valueBytes]: readonly [number, number],
  flags: number,
): number {
  // struct bpf_map_create_opts {sz; ...; u32 map_flags at 28; ...}
  const options = nativeBytes(48);
  new DataView(options.buffer).setBigUint64(0, 48n, true);
  new DataView(options.buffer).setUint32(28, flags, true);
  const result = bpf.bpf_map_create(mapTypeHash, cString(name), keyBytes, valueBytes, mapEntries, options);
  return check(`Make map "${name}"`, result);
}

function settingsValue(change: SettingsChange): NativeBuffer {
  const value = nativeBytes(structBytes.settings);
  const view = new DataView(value.buffer);
  const ports = change.ports ?? [guardedPort];
  view.setUint32(0, change.magic ?? 0x74746774, true);
  view.setUint32(4, change.layout ?? 1, true);
  view.setUint32(8, change.scope ?? 0, true);
  view.setUint32(12, change.ipv6Bits ?? 64, true);
  view.setUint32(16, change.cidrEntries ?? 0, true);
  view.setUint32(20, ports.length, true);
  for (const [index, port] of ports.entries()) view.setUint16(24 + index * 2, port, true);
  // The clock of gate_xdp_at and gate_tc_at.
  view.setBigUint64(40, nowNs, true);
  return value;
}

function banValue(endNs: bigint): NativeBuffer {
  const value = nativeBytes(structBytes.ban);
  new DataView(value.buffer).setBigUint64(0, endNs, true);
  return value;
}

/** The documented map's form, in which an end is whole seconds or nanoseconds. */
export function endValue(endNs: bigint, valueBytes: number): NativeBuffer {
  const value = nativeBytes(valueBytes);
  const view = new DataView(value.buffer);
  if (valueBytes === 4) view.setUint32(0, Number(endNs / secondNs), true);
  else view.setBigUint64(0, endNs, true);
  return value;
}

function cidrKey(prefix: Prefix): NativeBuffer {
  const key = nativeBytes(structBytes.cidr_key);
  new DataView(key.buffer).setUint32(0, prefix.bits, true);
  key.set(prefix.bytes, 4);
  return key;
}

function copyOf(bytes: Uint8Array): NativeBuffer {
  const copy = nativeBytes(bytes.length);
  copy.set(bytes);
  return copy;
}
