// SPDX-License-Identifier: Apache-2.0
// Which TCP connections stand in this network namespace, as proc(5) tells.
import { readFileSync } from "node:fs";

const established = "01";

/** @returns the peers of connections to the local port: IPv4 as `192.0.2.1`, IPv6 as 32 hexadecimal digits. */
export function peersOf(localPort: number): ReadonlySet<string> {
  const peers = new Set<string>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of linesOf(file)) {
      const [, local = "", remote = "", state] = line.trim().split(/\s+/);
      const [address = ""] = remote.split(":");
      if (state !== established || Number.parseInt(local.split(":")[1] ?? "", 16) !== localPort) continue;
      peers.add(addressOf(address));
    }
  }
  return peers;
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, "latin1").split("\n").slice(1);
  } catch {
    // A kernel without IPv6.
    return [];
  }
}

/** Words in the host's byte order, which is little-endian wherever ttgate runs. */
function addressOf(hex: string): string {
  const bytes = (hex.toLowerCase().match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const isMapped = bytes.length === 16 && bytes.slice(0, 12).join("") === "00000000000000000000ffff";
  const ipv4 = isMapped ? bytes.slice(12) : bytes;
  if (ipv4.length === 4) return ipv4.map((byte) => Number.parseInt(byte, 16)).join(".");
  return bytes.join("");
}
