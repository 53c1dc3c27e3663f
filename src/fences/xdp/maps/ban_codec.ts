// SPDX-License-Identifier: Apache-2.0
// How a ban stands in each of the maps: exact sources and ranges in ttgate's own layout, and the
// documented map of IPv4 addresses, which has room for an expiry and nothing else.
import { type Prefix, prefixFromBytes } from "../../../core/address.ts";
import type { FenceEntry, FenceRecord } from "../../../core/bans/fence.ts";
import { sourceOf } from "../../../core/client.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import {
  hasHostBits,
  readBan,
  readBanExpiresMs,
  readBanKey,
  readCidrKey,
  readExpiry,
  structBytes,
  writeBan,
  writeBanKey,
  writeCidrKey,
  writeExpiry,
} from "./layout.ts";
import { originCode, originOf } from "./origins.ts";
import { type Reasons, unknownReason } from "./reasons.ts";

export interface BanCodec {
  readonly keyBytes: number;
  readonly valueBytes: number;
  writeKey(prefix: Prefix, keys: NativeBuffer, offset: number): void;
  readKey(keys: NativeBuffer, offset: number): Prefix;
  /** For a key that the program never looks up, whoever wrote it, the one that it does: undefined otherwise. */
  properKey(keys: NativeBuffer, offset: number): NativeBuffer | undefined;
  /** What the value holds beside expiry and reason stays as it is. */
  writeValue(entry: FenceEntry, values: NativeBuffer, offset: number): void;
  readExpiresMs(values: NativeBuffer, offset: number): number;
  /** False: the map answers for a range with whatever wider one it has. */
  readonly exactLookup: boolean;
  /** False: `isForeign` needs not be asked. */
  readonly mayBeForeign: boolean;
  isForeign(values: NativeBuffer, offset: number): boolean;
  readRecord(prefix: Prefix, values: NativeBuffer, offset: number): FenceRecord;
}

function ownValues(
  reasons: Reasons,
): Omit<BanCodec, "keyBytes" | "writeKey" | "readKey" | "exactLookup" | "properKey"> {
  return {
    valueBytes: structBytes.ban,
    writeValue({ expiresMs, reason, origin }, values, offset) {
      writeBan({ expiresMs, reason: reasons.hash(reason), origin: originCode(origin) }, values, offset);
    },
    readExpiresMs: readBanExpiresMs,
    mayBeForeign: false,
    isForeign: () => false,
    readRecord(prefix, values, offset) {
      const found = readBan(values, offset);
      const { expiresMs, packets, bytes, lastSeenMs } = found;
      const [reason, origin] = [reasons.name(found.reason), originOf(found.origin)];
      return { prefix, expiresMs, packets, bytes, lastSeenMs, reason, origin };
    },
  };
}

/** IPv4 addresses, and IPv6 networks of the ban prefix. */
export function exactCodec(reasons: Reasons, ipv6PrefixBits: number): BanCodec {
  return {
    ...ownValues(reasons),
    exactLookup: true,
    keyBytes: structBytes.ban_key,
    writeKey: writeBanKey,
    readKey: (keys, offset) => readBanKey(keys, offset, ipv6PrefixBits),
    properKey(keys, offset) {
      if (!hasHostBits(keys, offset, ipv6PrefixBits)) return undefined;
      const { bits, bytes } = sourceOf(
        prefixFromBytes(keys.subarray(offset, offset + structBytes.ban_key)),
        ipv6PrefixBits,
      );
      return bits === 128 ? undefined : bytes;
    },
  };
}

/** Every other range. */
export function cidrCodec(reasons: Reasons): BanCodec {
  return {
    ...ownValues(reasons),
    exactLookup: false,
    keyBytes: structBytes.cidr_key,
    writeKey: writeCidrKey,
    readKey: readCidrKey,
    properKey: () => undefined,
  };
}

const ipv4Bytes = 4;
const mappedHead = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** @param valueBytes 4: seconds since boot; 8: nanoseconds. */
export function ipv4Codec(valueBytes: 4 | 8): BanCodec {
  return {
    exactLookup: true,
    keyBytes: ipv4Bytes,
    valueBytes,
    writeKey: (prefix, keys, offset) => keys.set(prefix.bytes.subarray(12), offset),
    readKey(keys, offset) {
      const mapped = new Uint8Array(16);
      mapped.set(mappedHead);
      mapped.set(keys.subarray(offset, offset + ipv4Bytes), 12);
      return prefixFromBytes(mapped);
    },
    properKey: () => undefined,
    writeValue: ({ expiresMs }, values, offset) => writeExpiry(expiresMs, values, offset, valueBytes),
    readExpiresMs: (values, offset) => readExpiry(values, offset, valueBytes).expiresMs,
    mayBeForeign: true,
    isForeign: (values, offset) => readExpiry(values, offset, valueBytes).foreign,
    readRecord(prefix, values, offset) {
      const { expiresMs, foreign } = readExpiry(values, offset, valueBytes);
      const origin = foreign ? "foreign" : "map";
      return { prefix, expiresMs, packets: 0, bytes: 0, lastSeenMs: undefined, reason: unknownReason, origin };
    },
  };
}
