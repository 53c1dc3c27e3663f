// SPDX-License-Identifier: Apache-2.0
// The structs of bpf/observer.bpf.c as bytes. Their sizes are checked against the loaded object's BTF. These
// maps live as long as the observer and are no contract: nobody else writes them.
import { type Prefix, prefixFromBytes } from "../../../core/address.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";

export const watchStructBytes = { watch_settings: 56, unseen: 64 } as const;

/** enum watch_count, in order. */
export const watchCounts = ["followed", "unseen", "untold"] as const;
export type WatchCount = (typeof watchCounts)[number];

/** WATCH_MAX_PORTS. */
const maxPorts = 8;
/** enum watch_flags. */
const loopbackFlag = 1;
const addressFlag = 2;

export interface WatchSettings {
  /** Number of the network namespace. */
  readonly netns: number;
  /** Connections that come by loopback count too. */
  readonly loopback: boolean;
  /** Only connections to this address; undefined: to any. */
  readonly address: Prefix | undefined;
  readonly ports: readonly number[];
  /** Connections from before are left alone; milliseconds since boot. */
  readonly sinceMs: number;
}

export function writeWatchSettings(settings: WatchSettings, value: NativeBuffer): void {
  const { netns, loopback, address, ports, sinceMs } = settings;
  const view = new DataView(value.buffer, value.byteOffset);
  view.setUint32(0, netns, true);
  view.setUint32(4, (loopback ? loopbackFlag : 0) | (address === undefined ? 0 : addressFlag), true);
  view.setBigUint64(8, BigInt(Math.round(sinceMs)) * 1_000_000n, true);
  if (address !== undefined) value.set(address.bytes, 16);
  view.setUint32(32, ports.length, true);
  for (const [index, port] of ports.slice(0, maxPorts).entries()) view.setUint16(40 + index * 2, port, true);
}

/** A connection that got bytes which the judge never saw. */
export interface UnseenConnection {
  readonly source: Prefix;
  readonly sourcePort: number;
  readonly port: number;
  /** How many, when it was noticed. */
  readonly receivedBytes: number;
  /** Of the interface that its last packet came by; 0: not known. */
  readonly interfaceIndex: number;
}

export function readUnseen(value: NativeBuffer): UnseenConnection {
  const view = new DataView(value.buffer, value.byteOffset);
  return {
    source: prefixFromBytes(value.slice(8, 24)),
    sourcePort: view.getUint16(40, false),
    port: view.getUint16(42, false),
    receivedBytes: Number(view.getBigUint64(48, true)),
    interfaceIndex: Number(view.getBigUint64(56, true)),
  };
}
