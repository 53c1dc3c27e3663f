// SPDX-License-Identifier: Apache-2.0
// What stands in the place of an address: ADDR, CIDR, or a range as the fewest prefixes that hold exactly it.

import { parsePrefix, prefixFromBytes } from "../address.ts";
import { longestDurationMs } from "../duration.ts";
import { quoted } from "../quoted.ts";
import { entry, type LineReading, mistake } from "./entry.ts";

const bitsOfAll = 128;

/** @param forMs how long; Infinity without an end; undefined when the line does not say. */
export function readSource(source: string, forMs?: number): LineReading {
  if (forMs !== undefined && Number.isFinite(forMs) && !(forMs >= 1 && forMs <= longestDurationMs)) {
    return mistake(`Invalid time for ${quoted(source)}: expected at least 1ms and at most 3650d, or ever`);
  }
  // It goes on as a line of its own.
  if (source === "" || /[\s#]/.test(source))
    return mistake(`Invalid address ${JSON.stringify(source)}: expected such as 192.0.2.0/24`);
  if (!source.includes("-")) return entry(source, forMs);
  const prefixes = prefixesOfRange(source);
  if (prefixes === undefined) return mistake(`Invalid range ${quoted(source)}: expected such as 10.0.0.1-10.0.0.9`);
  return { kind: "entries", entries: prefixes.map((prefix) => ({ source: prefix, forMs })) };
}

/** @returns undefined when it is no range: not two addresses of one family, or the first is behind the last. */
export function prefixesOfRange(text: string): string[] | undefined {
  const [first, last, ...others] = text.split("-").map((part) => parsePrefix(part.trim()));
  if (first === undefined || last === undefined || others.length > 0 || first.ipv4 !== last.ipv4) return undefined;
  if (first.bits !== bitsOfAll || last.bits !== bitsOfAll) return undefined;
  const end = numberOf(last.bytes);
  const prefixes: string[] = [];
  for (let start = numberOf(first.bytes); start <= end; ) {
    let sizeBits = 0;
    while (sizeBits < bitsOfAll) {
      const next = 1n << BigInt(sizeBits + 1);
      if (start % next !== 0n || start + next - 1n > end) break;
      sizeBits++;
    }
    prefixes.push(prefixFromBytes(bytesOf(start), bitsOfAll - sizeBits).text);
    start += 1n << BigInt(sizeBits);
  }
  return prefixes.length === 0 ? undefined : prefixes;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytes.toHex()}`);
}

function bytesOf(number: bigint): Uint8Array {
  return Uint8Array.fromHex(number.toString(16).padStart(32, "0"));
}
