// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { type ListedElement, ListingReader } from "../../../src/fences/nftables/listing.ts";

/** As nft 1.0.6 prints it. */
const listing = JSON.stringify({
  nftables: [
    { metainfo: { version: "1.0.6", release_name: 'a "{[" in it', json_schema_version: 1 } },
    { table: { family: "inet", name: "ours", handle: 1 } },
    { table: { family: "inet", name: "other", handle: 2 } },
    {
      set: {
        ...{ family: "inet", name: "ipv4_32", table: "ours", type: "ipv4_addr", handle: 2, flags: ["timeout"] },
        elem: [
          {
            elem: {
              val: "10.0.0.1",
              timeout: 600,
              expires: 599,
              comment: 'a, "}] b',
              counter: { packets: 2, bytes: 120 },
            },
          },
          { elem: { val: "10.0.0.2", counter: { packets: 0, bytes: 0 } } },
          "10.0.0.3",
        ],
        stmt: [{ counter: null }],
      },
    },
    { set: { family: "inet", name: "empty", table: "ours", type: "ipv4_addr", handle: 5, elem: [] } },
    { set: { family: "inet", name: "theirs", table: "other", type: "mark", handle: 3, elem: [7] } },
    { chain: { family: "inet", table: "ours", name: "gate_12_345", handle: 9 } },
    {
      chain: {
        ...{ family: "inet", table: "ours", name: "prerouting", handle: 1, type: "filter", hook: "prerouting" },
        ...{ prio: -300, policy: "accept" },
      },
    },
    {
      rule: {
        ...{ family: "inet", table: "ours", chain: "banned", handle: 9 },
        expr: [{ match: { op: "==", left: {}, right: { set: ["a", "b"] } } }, { counter: { packets: 3, bytes: 180 } }],
      },
    },
  ],
});

function read(text: string, cut: number) {
  const elements: ListedElement[] = [];
  const reader = new ListingReader("ours", (element) => elements.push(element));
  for (let at = 0; at < text.length; at += cut) reader.push(text.slice(at, at + cut));
  return { elements, listing: reader.end() };
}

describe("a listing", () => {
  test("is read the same however it is cut, and with nft's spaces or without", () => {
    const whole = read(listing, listing.length);
    expect(whole.elements).toEqual([
      { set: "ipv4_32", value: "10.0.0.1", expiresSeconds: 599, comment: 'a, "}] b', packets: 2, bytes: 120 },
      { set: "ipv4_32", value: "10.0.0.2", expiresSeconds: undefined, comment: undefined, packets: 0, bytes: 0 },
      { set: "ipv4_32", value: "10.0.0.3", expiresSeconds: undefined, comment: undefined, packets: 0, bytes: 0 },
    ]);
    expect(whole.listing).toMatchObject({
      ...{ isThere: true, isHooked: true, sets: ["ipv4_32", "empty"], rules: 1, owners: ["gate_12_345"] },
      ...{ packets: 3, bytes: 180 },
    });
    for (const cut of [1, 2, 3, 7, 64, 1000]) expect(read(listing, cut)).toEqual(whole);
    const spaced = JSON.stringify(JSON.parse(listing), null, 1);
    expect(read(spaced, 5)).toEqual(whole);
  });

  test("has the same fingerprint with other counters, handles and elements, and another one with another rule", () => {
    const { fingerprint } = read(listing, 50).listing;
    const later = listing.replaceAll('"handle":9', '"handle":12').replace('"packets":3', '"packets":9');
    expect(read(later.replace('"10.0.0.3"', '"10.0.0.4"'), 50).listing.fingerprint).toBe(fingerprint);
    expect(read(listing.replace('"prio":-300', '"prio":0'), 50).listing.fingerprint).not.toBe(fingerprint);
    expect(read(listing.replace('"a","b"', '"a"'), 50).listing.fingerprint).not.toBe(fingerprint);
    expect(read(listing.replace('"prio":-300', '"prio":0'), 50).listing.isHooked).toBe(false);
  });

  test("that breaks off is no listing", () => {
    expect(() => read(listing.slice(0, -5), 100)).toThrow("not whole");
    expect(read('{"nftables": []}', 3).listing).toMatchObject({ isThere: false, sets: [], owners: [] });
  });
});
