// SPDX-License-Identifier: Apache-2.0
// How a ban stands in each of the maps: exact sources and ranges in ttgate's own layout, and the
// documented map of IPv4 addresses, which has room for an expiry and nothing else.
import { type Prefix, type PrefixKey, prefixFromBytes } from "../../../core/address.ts";
import type { FenceEntry, FenceRecord } from "../../../core/bans/fence.ts";
import { sourceOf } from "../../../core/client.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import {
  banKeyAt,
  cidrKeyAt,
  hasHostBits,
  ipv4KeyAt,
  isHandWritten,
  readBan,
  readBanExpiresMs,
  readBanPackets,
  readExpiresMs,
  structBytes,
  writeBan,
  writeBanKey,
  writeCidrKey,
  writeExpiry,
  writeIpv4Key,
} from "./layout.ts";
import { originCode, originOf } from "./origins.ts";
import { type Reasons, unknownReason } from "./reasons.ts";

export interface BanCodec {
  readonly keyBytes: number;
  readonly valueBytes: number;
  writeKey(prefix: Prefix, keys: NativeBuffer, offset: number): void;
  /** Used again by the next call. */
  keyAt(keys: NativeBuffer, offset: number): PrefixKey;
  /** For a key that the program never looks up, whoever wrote it, the one that it does: undefined otherwise. */
  properKey(keys: NativeBuffer, offset: number): NativeBuffer | undefined;
  /** What the value holds beside expiry and reason stays as it is. */
  writeValue(entry: FenceEntry, values: NativeBuffer, offset: number): void;
  readExpiresMs(values: NativeBuffer, offset: number): number;
  readPackets(values: NativeBuffer, offset: number): number;
  /** False: the map answers for a range with whatever wider one it has. */
  readonly exactLookup: boolean;
  /** False: `isForeign` needs not be asked. */
  readonly mayBeForeign: boolean;
  isForeign(values: NativeBuffer, offset: number): boolean;
  readRecord(prefix: Prefix, values: NativeBuffer, offset: number): FenceRecord;
}

function ownValues(reasons: Reasons): Omit<BanCodec, "keyBytes" | "writeKey" | "keyAt" | "exactLookup" | "properKey"> {
  return {
    valueBytes: structBytes.ban,
    writeValue({ expiresMs, reason, origin }, values, offset) {
      writeBan({ expiresMs, reason: reasons.hash(reason), origin: originCode(origin) }, values, offset);
    },
    readExpiresMs: readBanExpiresMs,
    readPackets: readBanPackets,
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
    keyAt: (keys, offset) => banKeyAt(keys, offset, ipv6PrefixBits),
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
    keyAt: cidrKeyAt,
    properKey: () => undefined,
  };
}

const ipv4Bytes = 4;

/** @param valueBytes 4: seconds since boot; 8: nanoseconds. */
export function ipv4Codec(valueBytes: 4 | 8): BanCodec {
  return {
    exactLookup: true,
    keyBytes: ipv4Bytes,
    valueBytes,
    writeKey: writeIpv4Key,
    keyAt: ipv4KeyAt,
    properKey: () => undefined,
    writeValue: ({ expiresMs }, values, offset) => writeExpiry(expiresMs, values, offset, valueBytes),
    readExpiresMs: (values, offset) => readExpiresMs(values, offset, valueBytes),
    readPackets: () => 0,
    mayBeForeign: true,
    isForeign: (values, offset) => isHandWritten(values, offset, valueBytes),
    readRecord(prefix, values, offset) {
      const expiresMs = readExpiresMs(values, offset, valueBytes);
      const origin = isHandWritten(values, offset, valueBytes) ? "foreign" : "map";
      return { prefix, expiresMs, packets: 0, bytes: 0, lastSeenMs: undefined, reason: unknownReason, origin };
    },
  };
}
