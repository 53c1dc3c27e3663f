// SPDX-License-Identifier: Apache-2.0
// What this host looks like from the network: its interfaces and its addresses. Read from the
// node: modules and /proc; nothing is changed.
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import {
  isLoopback,
  isWildcard,
  type Prefix,
  parsePrefix,
  prefixFromBytes,
  requirePrefix,
  zoneOf,
} from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";

export interface HostAddress {
  readonly interfaceName: string;
  readonly prefix: Prefix;
  readonly loopback: boolean;
}

export function hostAddresses(): HostAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([label, addresses]) =>
    (addresses ?? []).flatMap(({ address, internal }) => {
      const prefix = parsePrefix(address);
      return prefix === undefined ? [] : [{ interfaceName: deviceOf(label), prefix, loopback: internal }];
    }),
  );
}

/** An IPv4 address may have a label, which stands in the place of its interface's name: "eth0:1". */
function deviceOf(label: string): string {
  return label.split(":", 1)[0] ?? label;
}

/** All but loopback, also those without an address. /proc/self/net/dev: two lines of heads, then "NAME: ..." for each. */
export function interfaceNames(): string[] {
  return procTable("/proc/self/net/dev")
    .slice(2)
    .flatMap(([field = ""]) => {
      const name = field.split(":", 1)[0] ?? "";
      return name === "" || name === "lo" ? [] : [name];
    });
}

/** No device is behind it, as far as this process sees: veth, bridge, tunnel, loopback. */
export function isVirtual(interfaceName: string): boolean {
  return !existsSync(`/sys/class/net/${interfaceName}/device`);
}

/** The interfaces that carry the listen address; for a wildcard all but loopback. */
export function interfacesOf(listenHost: string): string[] {
  const listen = parsePrefix(listenHost)?.text;
  const wildcard = isWildcard(listenHost);
  // Every interface may have the same link-local address.
  const zone = zoneOf(listenHost);
  const carrying = hostAddresses().filter(({ interfaceName, prefix, loopback }) =>
    wildcard ? !loopback : prefix.text === listen && (zone ?? interfaceName) === interfaceName,
  );
  return lowerFirst([...new Set(carrying.map(({ interfaceName }) => interfaceName))]);
}

/** A port of a bridge or bond takes an XDP program only while the device above it has none. */
function lowerFirst(names: readonly string[]): string[] {
  const isPort = (name: string) => existsSync(`/sys/class/net/${name}/master`);
  return [...names.filter(isPort), ...names.filter((name) => !isPort(name))];
}

const loopback = ["127.0.0.0/8", "::1"].map((text) => ({ prefix: requirePrefix(text), why: "loopback" }));

/** Addresses that a ban would cut this host off from. Whoever tries the gate on this host is on loopback. */
export function protectedAddresses(): NeverBanEntry[] {
  const own = hostAddresses().map(({ interfaceName, prefix }) => ({ prefix, why: `own address of ${interfaceName}` }));
  return [...loopback, ...own.filter(({ prefix }) => !isLoopback(prefix.text))];
}

/**
 * Who has an SSH session on this host right now: with --scope host a ban would cut an administrator off.
 * /proc/self/net/tcp: local and remote address in hex, host byte order in each 32-bit word; 01 is established.
 */
export function sshPeers(): NeverBanEntry[] {
  return ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
    .flatMap(procTable)
    .flatMap(([, local = "", remote = "", state]) => {
      if (state !== "01" || !local.endsWith(sshPort)) return [];
      const words = remote.split(":")[0]?.match(/.{8}/g) ?? [];
      const bytes = words.flatMap((word) => [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16)));
      const mapped = bytes.length === 4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes] : bytes;
      return [{ prefix: prefixFromBytes(Uint8Array.from(mapped)), why: "has an SSH session here" }];
    });
}

/** 22. */
const sshPort = ":0016";

function procTable(path: string): string[][] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
}
