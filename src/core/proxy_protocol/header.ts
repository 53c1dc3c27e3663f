// SPDX-License-Identifier: Apache-2.0
// Reads the header that a proxy sends before a client's first byte: PROXY protocol versions 1 and 2
// (HAProxy's proxy-protocol.txt, revision 2020/03/05). Pure; an answer never changes with later bytes.
import { isIP } from "node:net";
import { prefixFromBytes } from "../address.ts";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ProxyHeader {
  readonly kind: "header";
  /** What belongs to the header; the client's bytes follow. */
  readonly length: number;
  /** Undefined: the proxy speaks for itself, as in a health check (LOCAL, UNKNOWN, a family without IP addresses). */
  readonly client: { readonly source: Endpoint; readonly destination: Endpoint } | undefined;
}

export type ProxyHeaderResult =
  | ProxyHeader
  | { readonly kind: "more" }
  | { readonly kind: "invalid"; readonly reason: string };

/** Section 2.1: the longest line of version 1, with its CRLF. */
export const version1Limit = 107;
/** Addresses and every TLV that is in use (names, TLS, cloud endpoints) take a few hundred bytes. */
export const version2Limit = 4096;

/** CR LF CR LF NUL CR LF "QUIT" LF */
export const version2Signature = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10);
const version1Signature = new TextEncoder().encode("PROXY ");
/** Signature, version and command, family, length. */
const version2HeadBytes = 16;

const more = { kind: "more" } as const;

export function parseProxyHeader(bytes: Uint8Array): ProxyHeaderResult {
  if (beginsLike(bytes, version2Signature)) return bytes.length < version2HeadBytes ? early(bytes) : version2(bytes);
  if (beginsLike(bytes, version1Signature)) return bytes.length < version1Signature.length ? more : version1(bytes);
  return invalid("no PROXY protocol header");
}

/** As far as both go. */
function beginsLike(bytes: Uint8Array, signature: Uint8Array): boolean {
  const length = Math.min(bytes.length, signature.length);
  for (let index = 0; index < length; index++) if (bytes[index] !== signature[index]) return false;
  return true;
}

function version1(bytes: Uint8Array): ProxyHeaderResult {
  const end = bytes.subarray(0, version1Limit).indexOf(13);
  if (end < 0) return bytes.length < version1Limit ? more : invalid(`version 1 longer than ${version1Limit} bytes`);
  if (end === version1Limit - 1) return invalid(`version 1 longer than ${version1Limit} bytes`);
  if (end + 1 === bytes.length) return more;
  if (bytes[end + 1] !== 10) return invalid("version 1 with CR and no LF");
  const line = new TextDecoder("latin1").decode(bytes.subarray(0, end));
  const length = end + 2;
  const [, family = "", ...fields] = line.split(" ");
  if (family === "UNKNOWN") return { kind: "header", length, client: undefined };
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : 0;
  if (version === 0) return invalid("version 1 of another family than TCP4, TCP6 and UNKNOWN");
  const [source = "", destination = "", sourcePort = "", destinationPort = ""] = fields;
  if (fields.length !== 4 || !isAddress(source, version) || !isAddress(destination, version)) {
    return invalid(`version 1 without two addresses of ${family} and two ports`);
  }
  if (!isPort(sourcePort) || !isPort(destinationPort)) return invalid("version 1 with a port that is none");
  return {
    kind: "header",
    length,
    client: {
      source: { address: source, port: Number(sourcePort) },
      destination: { address: destination, port: Number(destinationPort) },
    },
  };
}

/** A zone means nothing on another host. */
function isAddress(text: string, version: number): boolean {
  return isIP(text) === version && !text.includes("%");
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535;
}

/** What is there of the head may be wrong already. */
function early(bytes: Uint8Array): ProxyHeaderResult {
  return headError(bytes) ?? more;
}

function headError(bytes: Uint8Array): ProxyHeaderResult | undefined {
  const [command, family] = bytes.subarray(version2Signature.length);
  if (command === undefined) return undefined;
  if (command >> 4 !== 2) return invalid(`version ${command >> 4} behind the signature of version 2`);
  if ((command & 15) > 1) return invalid(`version 2 with the unknown command ${command & 15}`);
  // With LOCAL the family means nothing.
  if (family === undefined || (command & 15) === 0) return undefined;
  if (family >> 4 > 3 || (family & 15) > 2) return invalid(`version 2 with the unknown family ${family}`);
  return undefined;
}

/** Address family to bytes of one address; others have no IP addresses. */
const addressBytes: Readonly<Record<number, number>> = { 1: 4, 2: 16 };

function version2(bytes: Uint8Array): ProxyHeaderResult {
  const error = headError(bytes);
  if (error !== undefined) return error;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLocal = (view.getUint8(12) & 15) === 0;
  const family = view.getUint8(13);
  const rest = view.getUint16(14);
  const length = version2HeadBytes + rest;
  if (length > version2Limit) return invalid(`version 2 of ${length} bytes, longer than ${version2Limit}`);
  const size = isLocal ? undefined : addressBytes[family >> 4];
  if (size !== undefined && (family & 15) !== 1) return invalid("version 2 for another transport than TCP");
  if (size !== undefined && rest < 2 * size + 4) return invalid("version 2 too short for its addresses");
  if (bytes.length < length) return more;
  if (size === undefined) return { kind: "header", length, client: undefined };
  const at = version2HeadBytes;
  return {
    kind: "header",
    length,
    client: {
      source: { address: addressText(bytes.subarray(at, at + size)), port: view.getUint16(at + 2 * size) },
      destination: {
        address: addressText(bytes.subarray(at + size, at + 2 * size)),
        port: view.getUint16(at + 2 * size + 2),
      },
    },
  };
}

function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : prefixFromBytes(bytes).text;
}

function invalid(reason: string): ProxyHeaderResult {
  return { kind: "invalid", reason };
}
