// SPDX-License-Identifier: Apache-2.0
// Reads a TLS ClientHello (RFC 8446 section 4.1.2) for its server name (RFC 6066 section 3) and its
// ALPN protocols (RFC 7301). Reads forward only, over record boundaries, so that what it says of a
// prefix holds whatever follows. Allocates nothing.

import { fails, holds, missing, type Outcome, type Probe } from "./probe.ts";
import { prefixLimitBytes, type TlsRule } from "./signature.ts";

const handshakeRecord = 22;
const clientHello = 1;
const extensionServerName = 0;
const extensionAlpn = 16;
/** 5 bytes of record, 4 of handshake, 2 of version, 32 random, empty session id, one cipher, one compression. */
const shortestHello = 5 + 4 + 2 + 32 + 1 + 4 + 2;

export function helloProbe(rule: TlsRule): Probe {
  const names = (rule.sni ?? []).map((name) => latin(name.toLowerCase()));
  const wanted = [...(rule.sni ?? []), ...(rule.alpn ?? [])];
  return {
    words: `a TLS ClientHello${wanted.length > 0 ? ` for ${wanted.join(", ")}` : ""}`,
    head: Uint8Array.of(handshakeRecord, 3),
    minBytes: shortestHello,
    horizonBytes: prefixLimitBytes,
    run: createRun(names, (rule.alpn ?? []).map(latin)),
  };
}

function latin(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Reading goes on, lacks bytes, or met what is no ClientHello. Once it stopped, every byte reads as 0. */
type State = "reading" | "starved" | "broken";

function createRun(names: readonly Uint8Array[], protocols: readonly Uint8Array[]): Probe["run"] {
  let state: State = "reading";
  let bytes = nothing;
  let length = 0;
  // Where reading stands: in the stream, and how much of the record and of the handshake is left.
  let at = 0;
  let recordLeft = 0;
  let helloLeft = 0;
  /** An entry of a list. */
  const value = new Uint8Array(256);

  const isReading = () => state === "reading";
  const isStarved = () => state === "starved";

  function enterRecord(): void {
    if (at + 5 > length) {
      state = "starved";
      return;
    }
    recordLeft = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3 || recordLeft === 0) state = "broken";
    at += 5;
  }

  function nextByte(): number {
    if (isReading() && recordLeft === 0) enterRecord();
    if (isReading() && at >= length) state = "starved";
    if (!isReading()) return 0;
    recordLeft--;
    helloLeft--;
    return bytes[at++] ?? 0;
  }

  function integer(size: number): number {
    let result = 0;
    for (let count = 0; count < size; count++) result = result * 256 + nextByte();
    return result;
  }

  function skip(count: number): void {
    for (let skipped = 0; skipped < count && isReading(); skipped++) nextByte();
  }

  /** Up to the first extension. */
  function skipHead(): void {
    if (bytes[0] !== handshakeRecord) state = "broken";
    if (nextByte() !== clientHello && isReading()) state = "broken";
    const size = integer(3);
    helloLeft = size;
    skip(2 + 32);
    skip(integer(1));
    skip(integer(2));
    skip(integer(1));
    skip(helloLeft >= 2 ? 2 : 0);
  }

  /** Reads a list; true when one of those wanted is in it. A server name has a type in front. */
  function listHas(wanted: readonly Uint8Array[], lengthBytes: number, hasType: boolean): boolean {
    const listBytes = integer(2);
    let read = 0;
    let found = false;
    while (read < listBytes && isReading()) {
      const type = hasType ? nextByte() : 0;
      const size = integer(lengthBytes);
      read += size + lengthBytes + (hasType ? 1 : 0);
      readValue(size, hasType);
      if (type === 0 && size <= value.length && isOneOf(wanted, size)) found = true;
    }
    return found;
  }

  function readValue(size: number, ignoreCase: boolean): void {
    for (let index = 0; index < size && isReading(); index++) {
      const byte = nextByte();
      if (index < value.length) value[index] = ignoreCase ? lowerCase(byte) : byte;
    }
  }

  function isOneOf(wanted: readonly Uint8Array[], size: number): boolean {
    for (const item of wanted) if (equals(item, size)) return true;
    return false;
  }

  function equals(item: Uint8Array, size: number): boolean {
    // `*` stands for what is before the first dot.
    const skipped = item[0] === asterisk ? 1 : 0;
    let from = 0;
    while (skipped === 1 && from < size && value[from] !== dot) from++;
    if (from < skipped || item.length - skipped !== size - from) return false;
    for (let index = skipped; index < item.length; index++) {
      if (item[index] !== value[from + index - skipped]) return false;
    }
    return true;
  }

  /** True as soon as both lists are satisfied. */
  function extensionsFit(): boolean {
    let unmet = (names.length > 0 ? needsName : 0) | (protocols.length > 0 ? needsProtocol : 0);
    while (unmet !== 0 && helloLeft >= 4 && isReading()) {
      const need = unmet & needOf(integer(2));
      const size = integer(2);
      if (need === 0) skip(size);
      else if (need === needsName ? listHas(names, 2, true) : listHas(protocols, 1, false)) unmet &= ~need;
      else return false;
    }
    return unmet === 0 && isReading();
  }

  return (stream, streamLength, ended): Outcome => {
    state = "reading";
    bytes = stream;
    length = Math.min(streamLength, prefixLimitBytes);
    at = 0;
    recordLeft = 0;
    helloLeft = 4;
    skipHead();
    const fits = extensionsFit();
    bytes = nothing;
    if (fits) return holds(at);
    if (!isStarved()) return fails(at);
    return streamLength >= prefixLimitBytes ? fails(prefixLimitBytes) : missing(streamLength, ended);
  };
}

const needsName = 1;
const needsProtocol = 2;

function needOf(extension: number): number {
  if (extension === extensionServerName) return needsName;
  return extension === extensionAlpn ? needsProtocol : 0;
}

const nothing: Uint8Array = new Uint8Array(0);
const asterisk = 0x2a;
const dot = 0x2e;

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
