// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parsePrefix, requirePrefix } from "../../src/core/address.ts";
import { Client, sourceOf } from "../../src/core/client.ts";

describe("a client", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1", "2001:db8::/64"],
    ["fe80::1%eth0", "fe80::1", "fe80::/64"],
    ["::1", "::1", "::/64"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201", "64:ff9b::c000:201"],
    ["64:ff9b:1:ffff:1:2:3:4", "64:ff9b:1:ffff:1:2:3:4", "64:ff9b:1:ffff:1:2:3:4"],
    ["64:ff9b:2::c000:201", "64:ff9b:2::c000:201", "64:ff9b:2::/64"],
    [
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
    ["2001:1::1", "2001:1::1", "2001:1::/64"],
  ])("at %s is %s, its source %s", (address, single, source) => {
    const client = new Client(address, 4711, 64);
    expect(client.single().text).toBe(single);
    expect(client.source().text).toBe(source);
    expect(client.sourceText).toBe(source);
    expect(client.port).toBe(4711);
  });

  test.each([
    [48, "2001:db8:1::/48"],
    [100, "2001:db8:1:2:3:4::/100"],
    [128, "2001:db8:1:2:3:4:5:6"],
  ])("with a ban prefix of %d bits, its source is %s", (bits, source) => {
    expect(new Client("2001:db8:1:2:3:4:5:6", 1, bits).sourceText).toBe(source);
  });

  test("the key in the table is the text of the source, whatever the address", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 128 }), (address, bits) => {
        const client = new Client(address, 1, bits);
        expect(client.sourceText).toBe(client.source().text);
        expect(client.single().text).toBe(requirePrefix(address).text);
        expect(parsePrefix(client.sourceText)).toMatchObject({ text: client.sourceText, bits: client.source().bits });
        expect(sourceOf(client.single(), bits).text).toBe(client.sourceText);
      }),
    );
  });

  test("neighbours in a network have one source, others another", () => {
    const one = new Client("2001:db8::1", 1, 64);
    expect(new Client("2001:db8::ffff:1", 2, 64).sourceText).toBe(one.sourceText);
    expect(new Client("2001:db8:0:1::1", 2, 64).sourceText).not.toBe(one.sourceText);
  });
});
