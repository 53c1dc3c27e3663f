// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { prefixOf, requirePrefix } from "../../src/core/address.ts";
import { reasonHash } from "../../src/core/bans/reason.ts";
import {
  banKeyAt,
  cidrKeyAt,
  hasHostBits,
  isHandWritten,
  readBan,
  readExpiresMs,
  readSettings,
  type Settings,
  structBytes,
  sumCounter,
  writeBan,
  writeBanKey,
  writeCidrKey,
  writeExpiry,
  writeSettings,
} from "../../src/fences/xdp/maps/layout.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";

test("keys keep address and prefix", () => {
  const keys = nativeBytes(64);
  for (const text of ["192.0.2.1", "2001:db8:1:2::/64"]) {
    writeBanKey(requirePrefix(text), keys, 16);
    expect(prefixOf(banKeyAt(keys, 16, 64)).text).toBe(text);
  }
  for (const text of ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/33", "2001:db8::1"]) {
    writeCidrKey(requirePrefix(text), keys, 20);
    expect(prefixOf(cidrKeyAt(keys, 20)).text).toBe(text);
  }
});

test("an IPv6 key with bits beyond the ban prefix is what it is, and told apart", () => {
  const keys = nativeBytes(16);
  writeBanKey(requirePrefix("2001:db8:1:2:3::"), keys, 0);
  expect(prefixOf(banKeyAt(keys, 0, 64)).text).toBe("2001:db8:1:2:3::");
  expect([60, 63, 64, 79, 80, 128].map((bits) => hasHostBits(keys, 0, bits))).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  writeBanKey(requirePrefix("192.0.2.255"), keys, 0);
  expect(hasHostBits(keys, 0, 64)).toBe(false);
});

test("a ban keeps its times to the nanosecond and what it counted", () => {
  const value = nativeBytes(structBytes.ban);
  const view = new DataView(value.buffer);
  view.setBigUint64(8, 7n, true);
  view.setBigUint64(16, 2n ** 40n, true);
  writeBan({ expiresMs: 123_456_789.000_001, reason: reasonHash("HTTP"), origin: 4 }, value, 0);
  expect(view.getBigUint64(0, true)).toBe(123_456_789_000_001n);
  expect(readBan(value, 0)).toEqual({
    expiresMs: 123_456_789.000_001,
    packets: 7,
    bytes: 2 ** 40,
    lastSeenMs: undefined,
    reason: reasonHash("HTTP"),
    origin: 4,
  });
  writeBan({ expiresMs: Number.POSITIVE_INFINITY, reason: 0, origin: 0 }, value, 0);
  expect(view.getBigUint64(0, true)).toBe(0n);
  expect(readBan(value, 0).expiresMs).toBe(Number.POSITIVE_INFINITY);
  writeBan({ expiresMs: -5, reason: 0, origin: 0 }, value, 0);
  expect(readBan(value, 0).expiresMs).toBeLessThan(1);
});

test("an expiry of the documented map is never early, and never looks like one written by hand", () => {
  const value = nativeBytes(8);
  const readExpiry = (bytes: number) => ({
    expiresMs: readExpiresMs(value, 0, bytes),
    foreign: isHandWritten(value, 0, bytes),
  });
  const seconds = (expiresMs: number) => {
    writeExpiry(expiresMs, value, 0, 4);
    return new DataView(value.buffer).getUint32(0, true);
  };
  expect([1000.1, 5000, 5001, 0, -7].map(seconds)).toEqual([2, 5, 6, 2, 2]);
  expect(seconds(Number.POSITIVE_INFINITY)).toBe(0xffffffff);
  expect(readExpiry(4)).toEqual({ expiresMs: Number.POSITIVE_INFINITY, foreign: false });
  new DataView(value.buffer).setUint32(0, 1, true);
  expect(readExpiry(4)).toEqual({ expiresMs: Number.POSITIVE_INFINITY, foreign: true });
  writeExpiry(5000.000_001, value, 0, 8);
  expect(new DataView(value.buffer).getBigUint64(0, true)).toBe(5_000_000_001n);
  expect(readExpiry(8).foreign).toBe(false);
  writeExpiry(Number.POSITIVE_INFINITY, value, 0, 8);
  expect(readExpiry(8)).toEqual({ expiresMs: Number.POSITIVE_INFINITY, foreign: false });
});

test("settings come back as they were written; others are told apart", () => {
  const value = nativeBytes(structBytes.settings);
  expect(readSettings(value)).toEqual({ kind: "empty" });
  const settings: Settings = {
    scope: "host",
    ipv6PrefixBits: 56,
    cidrEntries: 3,
    ports: [5000, 65_535],
    heartbeatMs: 12_345.5,
    daemonPid: 4_194_303,
  };
  writeSettings(settings, value);
  expect(readSettings(value)).toEqual({ kind: "settings", settings });
  value[4] = 2;
  expect(readSettings(value)).toEqual({ kind: "other", magic: 0x74746774, layout: 2 });
});

test("counters are summed over the CPUs", () => {
  const value = nativeBytes(48);
  const view = new DataView(value.buffer);
  for (const [index, number] of [1n, 10n, 2n, 20n, 3n, 2n ** 33n].entries()) view.setBigUint64(index * 8, number, true);
  expect(sumCounter(value)).toEqual({ packets: 6, bytes: 30 + 2 ** 33 });
});

test("a reason is FNV-1a of its name", () => {
  expect(reasonHash("")).toBe(0x811c9dc5);
  expect(reasonHash("foobar")).toBe(0xbf9cf968);
});
