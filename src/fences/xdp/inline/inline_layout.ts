// SPDX-License-Identifier: Apache-2.0
// The structs of bpf/inline_maps.h as bytes. Their sizes are checked against the loaded object's BTF, as those
// of layout.ts are. These maps live as long as the program and are no contract: nobody else writes them.
import { type Prefix, prefixFromBytes } from "../../../core/address.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import { maxPorts } from "../maps/layout.ts";

const inlineMagic = 0x696e6c6e;
const inlineLayout = 4;

/** UNREAD_SLOT of bpf/inline_maps.h: the place of packets whose port is not read, behind those of the ports. */
export const unreadSlot = maxPorts;

export const inlineStructBytes = { inline_settings: 40, inline_event: 104, stream_key: 40, undecided: 296 } as const;

/** SIGNATURES_BYTES of bpf/signature_table.h, and the room behind it. */
export const signaturesBytes = 256 * 1024 + 64;

/** enum inline_outcome of bpf/inline_maps.h, in order. */
export const inlineOutcomes = [
  "passed",
  "undecided",
  "banned",
  "spared",
  "would_ban",
  "not_banned",
  "unproven",
  "no_socket",
  "older",
  "held",
  "reset",
  "bounced",
  "fragment",
  "unread",
  "urgent",
  "mptcp",
  "malformed",
  "event_lost",
] as const;
export type InlineOutcome = (typeof inlineOutcomes)[number];

/** enum never_ban of bpf/inline_maps.h. */
export const mayBeBanned = 0;
export const neverBanned = 1;
export const neighbourNeverBanned = 2;

/** enum inline_flags of bpf/inline_maps.h. */
const dryRunFlag = 1;
const trialFlag = 16;
const bounceFlag = 2;
const passFlags = { fragments: 4, unread: 8 } as const;

/** Packets that cannot be judged: fragments, and what lies behind more headers than are read. */
export type HiddenKind = keyof typeof passFlags;

/** `trial`: nobody is banned, and those who are already stay out. `dry run`: nobody at all is kept out. */
export type Judging = "enforce" | "trial" | "dry run";

export interface InlineSettings {
  readonly judging: Judging;
  /** Answers the packets of those who are banned with RST. */
  readonly bounce: boolean;
  /** What of that which cannot be judged passes. */
  readonly passes: readonly HiddenKind[];
  /** Which of the tables is valid. */
  readonly table: number;
  /** Whose place this is; 0 for that of packets whose port is not read. */
  readonly port: number;
  /** How long a ban lasts. */
  readonly banMs: number;
  /** Kernel ticks: connections that were open then are left alone. */
  readonly since: bigint;
  /** Of the table, for the names of its owners. */
  readonly generation: number;
}

export function writeInlineSettings(settings: InlineSettings, value: NativeBuffer): void {
  const view = new DataView(value.buffer, value.byteOffset);
  view.setUint32(0, inlineMagic, true);
  view.setUint32(4, inlineLayout, true);
  view.setUint32(8, flagsOf(settings), true);
  view.setUint32(12, settings.table, true);
  view.setBigUint64(16, BigInt(Math.round(settings.banMs)) * 1_000_000n, true);
  view.setBigUint64(24, settings.since, true);
  view.setUint32(32, settings.generation, true);
  view.setUint32(36, settings.port, true);
}

const judgingFlags = { enforce: 0, trial: dryRunFlag | trialFlag, "dry run": dryRunFlag } as const;

function flagsOf({ judging, bounce, passes }: InlineSettings): number {
  const flags = passes.map((kind) => passFlags[kind]);
  return [...flags, judgingFlags[judging], bounce ? bounceFlag : 0].reduce((all, flag) => all | flag, 0);
}

/** False for what another version wrote. */
export function isInlineLayout(value: NativeBuffer): boolean {
  const view = new DataView(value.buffer, value.byteOffset);
  return view.getUint32(0, true) === inlineMagic && view.getUint32(4, true) === inlineLayout;
}

export function readSince(value: NativeBuffer): bigint {
  return new DataView(value.buffer, value.byteOffset).getBigUint64(24, true);
}

export function readPort(value: NativeBuffer): number {
  return new DataView(value.buffer, value.byteOffset).getUint32(36, true);
}

/** A connection whose first bytes were not enough. */
export interface InlineUndecided {
  /** The connection, for who compares. */
  readonly id: string;
  readonly source: Prefix;
  readonly sourcePort: number;
  readonly port: number;
  /** What came without a gap, from the first byte on. */
  readonly firstBytes: Uint8Array;
  /** More bytes decided, and it passed. */
  readonly passed: boolean;
}

/** struct stream_key and struct undecided; the bytes are copies. */
export function readUndecided(key: Uint8Array, value: NativeBuffer): InlineUndecided {
  const ports = new DataView(key.buffer, key.byteOffset + 32, 4);
  const view = new DataView(value.buffer, value.byteOffset);
  return {
    id: key.toHex(),
    source: prefixFromBytes(key.slice(0, 16)),
    sourcePort: ports.getUint16(0),
    port: ports.getUint16(2),
    firstBytes: Uint8Array.from(value.subarray(40, 40 + view.getUint32(32, true))),
    passed: view.getUint32(36, true) !== 0,
  };
}

export interface InlineEvent {
  readonly source: Prefix;
  readonly sourcePort: number;
  readonly port: number;
  /** Index of a protocol's name in the table of this generation; undefined: a near miss of what is expected. */
  readonly owner: number | undefined;
  readonly generation: number;
  readonly firstBytes: Uint8Array;
}

export function readInlineEvent(value: NativeBuffer): InlineEvent {
  const view = new DataView(value.buffer, value.byteOffset);
  return {
    source: prefixFromBytes(value.slice(8, 24)),
    sourcePort: view.getUint16(24, true),
    port: view.getUint16(26, true),
    owner: inlineOutcomes[view.getUint8(30)] === "malformed" ? undefined : view.getUint16(28, true),
    generation: view.getUint32(32, true),
    firstBytes: Uint8Array.from(value.subarray(40, 40 + view.getUint8(31))),
  };
}
