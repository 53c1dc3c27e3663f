// SPDX-License-Identifier: Apache-2.0
// The structs of bpf/ttgate.h as bytes, and the two value forms of the documented map. Their sizes are
// checked against the loaded object's BTF and each opened map's geometry before the first use, so that
// a mirror out of step is an error at start and not a wrong ban. docs/map.md is the text to it.
import { maskOf, type PrefixKey } from "../../../core/address.ts";
import { isShared } from "../../../core/client.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";

const layoutMagic = 0x74746774;
export const layoutVersion = 1;
export const maxPorts = 8;

/** Bytes of each struct, by its name in bpf/ttgate.h. */
export const structBytes = { ban_key: 16, cidr_key: 20, ban: 40, settings: 56, counter: 16 } as const;

/** enum outcome of bpf/ttgate.h, in order. */
export const outcomes = ["pass", "drop_ban", "drop_cidr", "pass_expired", "pass_unparsed"] as const;
export type Outcome = (typeof outcomes)[number];

/** enum ban_flags: without it, another tool wrote the entry. */
const banByTtgate = 1;
/** enum ban_flags: where enum ban_origin stands in them. */
const originShift = 8;
const nsPerMs = 1e6;
const two32 = 2 ** 32;

/** A ban as the kernel holds it. */
export interface BanValue {
  readonly expiresMs: number;
  readonly packets: number;
  readonly bytes: number;
  readonly lastSeenMs: number | undefined;
  /** FNV-1a of the protocol's name; 0: not told. */
  readonly reason: number;
  /** enum ban_origin; 0 for what another tool wrote. */
  readonly origin: number;
}

function readU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * two32 + view.getUint32(offset, true);
}

/** Times and counts stay under 2^53 ns (104 days) exact, and a few ns beyond: no bigint on this path. */
function writeU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % two32, true);
  view.setUint32(offset + 4, Math.floor(value / two32), true);
}

export function writeBanKey({ words }: PrefixKey, keys: NativeBuffer, offset: number): void {
  const view = viewOfKeys(keys);
  for (let index = 0; index < 4; index++) view.setUint32(offset + 4 * index, words[index] ?? 0);
}

/** The documented map's: four bytes. */
export function writeIpv4Key({ words }: PrefixKey, keys: NativeBuffer, offset: number): void {
  viewOfKeys(keys).setUint32(offset, words[3]);
}

/** Views of the same buffer as the last time, nearly always: a million entries go through two buffers. */
function viewer(): (bytes: NativeBuffer) => DataView<ArrayBuffer> {
  let viewed: NativeBuffer | undefined;
  let view = new DataView(new ArrayBuffer(0));
  return (bytes) => {
    if (viewed !== bytes) {
      viewed = bytes;
      view = new DataView(bytes.buffer, bytes.byteOffset);
    }
    return view;
  };
}

const viewOfKeys = viewer();
const viewOfValues = viewer();

export function writeCidrKey(prefix: PrefixKey, keys: NativeBuffer, offset: number): void {
  viewOfKeys(keys).setUint32(offset, prefix.bits, true);
  writeBanKey(prefix, keys, offset + 4);
}

/** True for an IPv6 key with bits beyond the ban prefix: in most networks the program masks them off before it looks. */
export function hasHostBits(keys: NativeBuffer, offset: number, ipv6Bits: number): boolean {
  const view = viewOfKeys(keys);
  const mapped = isMapped(view, offset);
  if (mapped || ipv6Bits === 128) return false;
  const partial = ipv6Bits >> 3;
  if (((keys[offset + partial] ?? 0) & (0xff >> (ipv6Bits & 7))) !== 0) return true;
  for (let index = partial + 1; index < structBytes.ban_key; index++) if (keys[offset + index] !== 0) return true;
  return false;
}

function isMapped(view: DataView, offset: number): boolean {
  return view.getUint32(offset + 8) === 0xffff && readU64(view, offset) === 0;
}

/** Of a key that was read: used again for the next one. */
const words: [number, number, number, number] = [0, 0, 0, 0];
const read = { words, bits: 128 };

/** An IPv6 key stands for the network of `ipv6Bits`; one with host bits was not written by these rules. */
export function banKeyAt(keys: NativeBuffer, offset: number, ipv6Bits: number): PrefixKey {
  const view = viewOfKeys(keys);
  for (let index = 0; index < 4; index++) words[index] = view.getUint32(offset + 4 * index);
  read.bits = 128;
  if (isMapped(view, offset)) return read;
  if (!isShared(read) && !hasHostBits(keys, offset, ipv6Bits)) read.bits = ipv6Bits;
  return read;
}

export function cidrKeyAt(keys: NativeBuffer, offset: number): PrefixKey {
  const view = viewOfKeys(keys);
  read.bits = view.getUint32(offset, true);
  for (let index = 0; index < 4; index++) {
    words[index] = (view.getUint32(offset + 4 + 4 * index) & maskOf(read.bits - 32 * index)) >>> 0;
  }
  return read;
}

export function ipv4KeyAt(keys: NativeBuffer, offset: number): PrefixKey {
  [words[0], words[1], words[2], words[3]] = [0, 0, 0xffff, viewOfKeys(keys).getUint32(offset)];
  read.bits = 128;
  return read;
}

/**
 * Leaves the counts as they are: a longer ban is still the same ban.
 * @param origin enum ban_origin.
 */
export function writeBan(
  { expiresMs, reason, origin }: Pick<BanValue, "expiresMs" | "reason" | "origin">,
  values: NativeBuffer,
  offset: number,
): void {
  const view = viewOfValues(values);
  writeU64(view, offset, Number.isFinite(expiresMs) ? Math.max(1, Math.round(expiresMs * nsPerMs)) : 0);
  view.setUint32(offset + 24, reason, true);
  view.setUint32(offset + 28, banByTtgate | (origin << originShift), true);
}

/** Nothing but the expiry: sweeps read a million of them. */
export function readBanExpiresMs(values: NativeBuffer, offset: number): number {
  const expiresNs = readU64(viewOfValues(values), offset);
  return expiresNs === 0 ? Number.POSITIVE_INFINITY : expiresNs / nsPerMs;
}

export function readBanPackets(values: NativeBuffer, offset: number): number {
  return readU64(viewOfValues(values), offset + 8);
}

export function readBan(values: NativeBuffer, offset: number): BanValue {
  const view = viewOfValues(values);
  const lastSeenNs = readU64(view, offset + 32);
  const flags = view.getUint32(offset + 28, true);
  return {
    expiresMs: readBanExpiresMs(values, offset),
    packets: readU64(view, offset + 8),
    bytes: readU64(view, offset + 16),
    lastSeenMs: lastSeenNs === 0 ? undefined : lastSeenNs / nsPerMs,
    reason: view.getUint32(offset + 24, true),
    origin: (flags & banByTtgate) === 0 ? 0 : (flags >>> originShift) & 0xff,
  };
}

/** Values that people write by hand into the documented map: a ban without an end that is not ours. */
const handWritten = 1;
const foreverSeconds = two32 - 1;

/** The documented map's value: 4 bytes of seconds, or 8 of nanoseconds, since boot. Rounded up, never early. */
export function writeExpiry(expiresMs: number, values: NativeBuffer, offset: number, valueBytes: number): void {
  const view = viewOfValues(values);
  if (valueBytes === 4) {
    const seconds = Math.max(handWritten + 1, Math.ceil(expiresMs / 1000));
    view.setUint32(offset, Math.min(seconds, foreverSeconds), true);
  } else if (Number.isFinite(expiresMs)) {
    writeU64(view, offset, Math.max(handWritten + 1, Math.ceil(expiresMs * nsPerMs)));
  } else {
    view.setBigUint64(offset, 2n ** 64n - 1n, true);
  }
}

export function readExpiresMs(values: NativeBuffer, offset: number, valueBytes: number): number {
  const raw = readRaw(values, offset, valueBytes);
  const isEndless = raw <= handWritten || raw >= (valueBytes === 4 ? foreverSeconds : 2 ** 63);
  return isEndless ? Number.POSITIVE_INFINITY : raw * (valueBytes === 4 ? 1000 : 1 / nsPerMs);
}

/** A ban without an end that is not ours. */
export function isHandWritten(values: NativeBuffer, offset: number, valueBytes: number): boolean {
  return readRaw(values, offset, valueBytes) <= handWritten;
}

function readRaw(values: NativeBuffer, offset: number, valueBytes: number): number {
  const view = viewOfValues(values);
  return valueBytes === 4 ? view.getUint32(offset, true) : readU64(view, offset);
}

export interface Settings {
  readonly scope: "port" | "host";
  readonly ipv6PrefixBits: number;
  readonly cidrEntries: number;
  readonly ports: readonly number[];
  readonly heartbeatMs: number;
  readonly daemonPid: number;
}

export function writeSettings(settings: Settings, value: NativeBuffer): void {
  const view = new DataView(value.buffer, value.byteOffset);
  view.setUint32(0, layoutMagic, true);
  view.setUint32(4, layoutVersion, true);
  view.setUint32(8, settings.scope === "host" ? 1 : 0, true);
  view.setUint32(12, settings.ipv6PrefixBits, true);
  view.setUint32(16, settings.cidrEntries, true);
  view.setUint32(20, settings.ports.length, true);
  for (let index = 0; index < maxPorts; index++) view.setUint16(24 + index * 2, settings.ports[index] ?? 0, true);
  writeU64(view, 40, Math.round(settings.heartbeatMs * nsPerMs));
  view.setUint32(48, settings.daemonPid, true);
  view.setUint32(52, 0, true);
}

/** All zero: created, and not written yet. */
export type SettingsFound =
  | { readonly kind: "empty" }
  | { readonly kind: "other"; readonly magic: number; readonly layout: number }
  | { readonly kind: "settings"; readonly settings: Settings };

export function readSettings(value: NativeBuffer): SettingsFound {
  const view = new DataView(value.buffer, value.byteOffset);
  const magic = view.getUint32(0, true);
  const layout = view.getUint32(4, true);
  if (magic === 0 && layout === 0) return { kind: "empty" };
  if (magic !== layoutMagic || layout !== layoutVersion) return { kind: "other", magic, layout };
  const count = Math.min(view.getUint32(20, true), maxPorts);
  const settings: Settings = {
    scope: view.getUint32(8, true) === 1 ? "host" : "port",
    ipv6PrefixBits: view.getUint32(12, true),
    cidrEntries: view.getUint32(16, true),
    ports: Array.from({ length: count }, (_, index) => view.getUint16(24 + index * 2, true)),
    heartbeatMs: readU64(view, 40) / nsPerMs,
    daemonPid: view.getUint32(48, true),
  };
  return { kind: "settings", settings };
}

export interface OutcomeCount {
  readonly packets: number;
  readonly bytes: number;
}

/** @param value of all CPUs, as a lookup in the per-CPU array gives it. */
export function sumCounter(value: NativeBuffer): OutcomeCount {
  const view = new DataView(value.buffer, value.byteOffset);
  let packets = 0;
  let bytes = 0;
  for (let offset = 0; offset + structBytes.counter <= value.byteLength; offset += structBytes.counter) {
    packets += readU64(view, offset);
    bytes += readU64(view, offset + 8);
  }
  return { packets, bytes };
}
