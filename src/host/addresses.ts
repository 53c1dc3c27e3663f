// SPDX-License-Identifier: Apache-2.0
// What this host looks like from the network: its interfaces and its addresses. Read from the
// node: modules and /proc; nothing is changed.
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { isLoopback, isWildcard, type Prefix, parsePrefix, requirePrefix, zoneOf } from "../core/address.ts";
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
      const interfaceName = deviceOf(label);
      // Deno goes by the address, and loopback may have others.
      const loopback = internal || interfaceName === "lo";
      return prefix === undefined ? [] : [{ interfaceName, prefix, loopback }];
    }),
  );
}

/** An IPv4 address may have a label, which stands in the place of its interface's name: "eth0:1". */
function deviceOf(label: string): string {
  return label.split(":", 1)[0] ?? label;
}

/** All but loopback, also those without an address. /proc/self/net/dev: two lines of heads, then "NAME: ..." for each. */
export function interfaceNames(): string[] {
  return tableIn("/proc/self/net/dev")
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

/** A bridge, or a port of one. */
export function isOfBridge(interfaceName: string): boolean {
  return ["bridge", "brport"].some((part) => existsSync(`/sys/class/net/${interfaceName}/${part}`));
}

/**
 * The interfaces that carry the listen address; all but loopback for a wildcard, and for an address of loopback that
 * others may connect to, as load balancers and anycast have it: its packets come by any of them.
 */
export function interfacesOf(listenHost: string): string[] {
  const listen = parsePrefix(listenHost)?.text;
  // Every interface may have the same link-local address.
  const zone = zoneOf(listenHost);
  const all = hostAddresses();
  const carrying = all.filter(
    ({ interfaceName, prefix }) => prefix.text === listen && (zone ?? interfaceName) === interfaceName,
  );
  const isOfLoopback = carrying.length > 0 && carrying.every(({ loopback }) => loopback);
  const comesByAny = isWildcard(listenHost) || (isOfLoopback && !isLoopback(listenHost));
  const found = comesByAny ? all.filter(({ loopback }) => !loopback) : carrying;
  return lowerFirst([...new Set(found.map(({ interfaceName }) => interfaceName))]);
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

/** Without them no name of an upstream, a list or an engine is found. systemd-resolved keeps its own in a second file. */
export function resolvers(): NeverBanEntry[] {
  return ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"].flatMap(tableIn).flatMap(([word, address = ""]) => {
    const prefix = word === "nameserver" && !isLoopback(address) ? parsePrefix(address) : undefined;
    return prefix === undefined ? [] : [{ prefix, why: "resolver of this host" }];
  });
}

function tableIn(path: string): string[][] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
}
