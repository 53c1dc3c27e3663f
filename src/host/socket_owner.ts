// SPDX-License-Identifier: Apache-2.0
// Whose process is at the other end of a connection of this host: the kernel knows the user of every socket.
// /proc/self/net/tcp: addresses in hex, host byte order in each 32-bit word; the user stands behind two timers.
import { readFile } from "node:fs/promises";
import { parsePrefix } from "../core/address.ts";

export interface SocketEnd {
  readonly address: string;
  readonly port: number;
}

const row = /^(?: +\d+: )([0-9A-F]+:[0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 01 \S+ \S+ \S+ +(\d+)/;

/**
 * @param end the far end, as the near one sees it.
 * @returns the user's number; undefined when it is not a socket of this network namespace, or is closed by now.
 */
export async function socketOwner({ address, port }: SocketEnd): Promise<number | undefined> {
  const bytes = parsePrefix(address)?.bytes;
  if (bytes === undefined) return undefined;
  const portText = port.toString(16).toUpperCase().padStart(4, "0");
  const isIpv4 = !address.includes(":") || address.toLowerCase().startsWith("::ffff:");
  const needles = [
    ["/proc/self/net/tcp6", `${words(bytes)}:${portText}`],
    ...(isIpv4 ? [["/proc/self/net/tcp", `${words(bytes.subarray(12))}:${portText}`]] : []),
  ] as const;
  for (const [table, needle] of needles) {
    // Long on a busy host: it is read beside the relay and not taken apart.
    const text = await readFile(table, "latin1").catch(() => "");
    for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + 1)) {
      const line = text.slice(text.lastIndexOf("\n", at) + 1, text.indexOf("\n", at));
      const [, local, user] = row.exec(line) ?? [];
      if (local === needle) return Number(user);
    }
  }
  return undefined;
}

function words(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, index) =>
    view
      .getUint32(index * 4, true)
      .toString(16)
      .toUpperCase()
      .padStart(8, "0"),
  ).join("");
}

/** passwd(5). @returns undefined for a number without a name in /etc/passwd. */
export async function userName(user: number): Promise<string | undefined> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[2] === String(user))?.[0];
}
