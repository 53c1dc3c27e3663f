// SPDX-License-Identifier: Apache-2.0
// The header that tells a server who its client is (PROXY protocol, HAProxy's proxy-protocol.txt), as it is sent.
import { requirePrefix, unzoned } from "../address.ts";
import { type Endpoint, version2Signature } from "./header.ts";

export type ProxyVersion = "v1" | "v2";

/** Addresses as a runtime prints them: mapped IPv4 is IPv4. One of each family makes both IPv6, as section 2.2 has it. */
export function proxyHeader(version: ProxyVersion, source: Endpoint, destination: Endpoint): Uint8Array {
  const from = requirePrefix(unzoned(source.address));
  const to = requirePrefix(unzoned(destination.address));
  const isIpv4 = from.ipv4 && to.ipv4;
  if (version === "v1") {
    const texts = [from, to].map(({ text, ipv4 }) => (ipv4 && !isIpv4 ? `::ffff:${text}` : text));
    const line = `PROXY ${isIpv4 ? "TCP4" : "TCP6"} ${texts.join(" ")} ${source.port} ${destination.port}\r\n`;
    return new TextEncoder().encode(line);
  }
  const size = isIpv4 ? 4 : 16;
  const header = version2Head(1, isIpv4 ? 0x11 : 0x21, 2 * size + 4);
  header.set(from.bytes.subarray(16 - size), 16);
  header.set(to.bytes.subarray(16 - size), 16 + size);
  const view = new DataView(header.buffer);
  view.setUint16(16 + 2 * size, source.port);
  view.setUint16(16 + 2 * size + 2, destination.port);
  return header;
}

/** Of a connection that the gate makes for itself, to see whether the server is there. */
export function localHeader(version: ProxyVersion): Uint8Array {
  return version === "v1" ? new TextEncoder().encode("PROXY UNKNOWN\r\n") : version2Head(0, 0, 0);
}

function version2Head(command: number, family: number, rest: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(16 + rest);
  header.set(version2Signature);
  header.set([0x20 | command, family, rest >> 8, rest & 255], version2Signature.length);
  return header;
}
