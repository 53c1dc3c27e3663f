// SPDX-License-Identifier: Apache-2.0
// Which TCP connections stand in this network namespace, as proc(5) tells.
import { readFileSync } from "node:fs";

/** include/net/tcp_states.h */
const established = "01";
const listening = "0A";

export interface Connection {
  readonly localPort: number;
  /** 4 bytes, or 16 in IPv6. */
  readonly peer: readonly number[];
  readonly peerPort: number;
}

/** Of a million lines only those that are asked for are taken apart. */
export function* connectionsTo(isPort: (localPort: number) => boolean): Generator<Connection, void, void> {
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const line of linesOf(table)) {
      const [, local = "", remote = "", state] = line.trim().split(/\s+/);
      const localPort = portOf(local);
      if (state !== established || !isPort(localPort)) continue;
      yield { localPort, peer: bytesOf(remote), peerPort: portOf(remote) };
    }
  }
}

/** Whether others than this host can connect to who listens on a port, as far as no firewall keeps them off. */
export function isOpenToOthers(port: number): boolean {
  return ["/proc/self/net/tcp", "/proc/self/net/tcp6"].flatMap(linesOf).some((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    return state === listening && portOf(local) === port && !isOfLoopback(textOf(bytesOf(local)));
  });
}

/** @returns the peers of connections to the local port: IPv4 as `192.0.2.1`, IPv6 as 32 hexadecimal digits. */
export function peersOf(localPort: number): ReadonlySet<string> {
  const peers = new Set<string>();
  for (const { peer } of connectionsTo((port) => port === localPort)) peers.add(textOf(peer));
  return peers;
}

/** None of what is not there or may not be read, as on a kernel without IPv6. */
export function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, "latin1").split("\n");
  } catch {
    return [];
  }
}

/** ADDRESS:PORT in hexadecimal digits; words in the host's byte order, which is little-endian wherever ttgate runs. */
function bytesOf(end: string): number[] {
  const words = end.split(":", 1)[0]?.match(/.{8}/g) ?? [];
  return words.flatMap((word) => [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16)));
}

function portOf(end: string): number {
  return Number.parseInt(end.split(":")[1] ?? "", 16);
}

/** @param address as `textOf` has it. */
function isOfLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "1".padStart(32, "0");
}

function textOf(address: readonly number[]): string {
  const hex = Uint8Array.from(address).toHex();
  const isMapped = hex.length === 32 && hex.startsWith("00000000000000000000ffff");
  return address.length === 4 || isMapped ? address.slice(-4).join(".") : hex;
}
