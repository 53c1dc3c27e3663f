// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import { Entries } from "../../../src/fences/nftables/entries.ts";
import type { ListedElement } from "../../../src/fences/nftables/listing.ts";

const entry = (text: string, expiresMs = 100_000) => ({
  prefix: requirePrefix(text),
  expiresMs,
  reason: "http",
  origin: "sniffer" as const,
});

const listed = (value: string, more: Partial<ListedElement> = {}): ListedElement => ({
  ...{ set: "ipv4_32", value, expiresSeconds: 100, comment: undefined, packets: 0, bytes: 0 },
  ...more,
});

function texts(entries: Entries, nowMs = 0) {
  const { changes } = entries.next(1000, nowMs);
  return {
    added: changes.added.map(({ prefix }) => prefix.text),
    replaced: changes.replaced.map(({ prefix }) => prefix.text),
    removed: changes.removed.map(({ text }) => text),
  };
}

function written(...addresses: readonly string[]): Entries {
  const entries = new Entries();
  for (const address of addresses) entries.put(entry(address), undefined);
  entries.settled(entries.next(1000, 0), 1);
  return entries;
}

describe("what is to be written", () => {
  test("is the last that was asked for, however often", () => {
    const entries = new Entries();
    entries.put(entry("192.0.2.1", 5000), undefined);
    entries.put(entry("192.0.2.1", 9000), undefined);
    entries.put(entry("192.0.2.2"), undefined);
    entries.drop(requirePrefix("192.0.2.2"));
    const batch = entries.next(1000, 0);
    expect(batch.changes.replaced.length + batch.changes.added.length).toBe(1);
    expect(entries.record(requirePrefix("192.0.2.1"))?.expiresMs).toBe(9000);
    expect(batch.changes.removed.map(({ text }) => text)).toEqual(["192.0.2.2"]);
  });

  test("a ban that the kernel has is replaced, one that comes back while it is being taken out too", () => {
    const entries = written("192.0.2.1", "192.0.2.2");
    entries.put(entry("192.0.2.1", 200_000), undefined);
    entries.drop(requirePrefix("192.0.2.2"));
    entries.put(entry("192.0.2.2"), undefined);
    entries.put(entry("192.0.2.3"), undefined);
    expect(texts(entries)).toEqual({ added: ["192.0.2.3"], replaced: ["192.0.2.1", "192.0.2.2"], removed: [] });
    // Under way: what changes now is not known to be new.
    entries.drop(requirePrefix("192.0.2.3"));
    entries.put(entry("192.0.2.3"), undefined);
    expect(texts(entries)).toEqual({ added: [], replaced: ["192.0.2.3"], removed: [] });
  });

  test("what failed is written again; a ban over by then is taken out", () => {
    const entries = new Entries();
    entries.put(entry("192.0.2.1", 5000), 10);
    const batch = entries.next(1000, 0);
    entries.failed(batch);
    expect(entries.isWritten).toBe(false);
    expect(texts(entries, 6000)).toEqual({ added: [], replaced: [], removed: ["192.0.2.1"] });
  });

  test("how long one took that was asked for by itself is told once", () => {
    const entries = new Entries();
    entries.put(entry("192.0.2.1"), 10);
    entries.put(entry("192.0.2.2"), undefined);
    expect(entries.settled(entries.next(1000, 11), 18)).toEqual([8]);
    entries.rewrite(() => true);
    expect(entries.settled(entries.next(1000, 20), 30)).toEqual([]);
  });

  test("the same once more is not written", () => {
    const entries = written("192.0.2.1");
    entries.put(entry("192.0.2.1"), 5);
    expect(entries.isWritten).toBe(true);
  });
});

describe("a listing", () => {
  test("that has everything changes nothing; drops are added up over elements that were made anew", () => {
    const entries = written("192.0.2.1");
    entries.beginListing(10);
    entries.listed(listed("192.0.2.1", { packets: 5, bytes: 300 }), 10);
    expect(entries.endListing(10)).toEqual({ missing: 0, altered: 0, strange: 0 });
    entries.beginListing(20);
    entries.listed(listed("192.0.2.1", { packets: 2, bytes: 120 }), 20);
    entries.endListing(20);
    expect(entries.record(requirePrefix("192.0.2.1"))).toMatchObject({ packets: 7, bytes: 420, lastSeenMs: 20 });
    expect(entries.isWritten).toBe(true);
  });

  test("shows what is missing, what has another end, and what nobody asked for", () => {
    const entries = written("192.0.2.1", "192.0.2.2", "192.0.2.3");
    entries.beginListing(10);
    entries.listed(listed("192.0.2.1", { expiresSeconds: 5 }), 10);
    entries.listed(listed("192.0.2.2", { expiresSeconds: undefined }), 10);
    entries.listed(listed("198.51.100.1"), 10);
    expect(entries.endListing(10)).toEqual({ missing: 1, altered: 2, strange: 1 });
    expect(texts(entries).removed).toEqual(["198.51.100.1"]);
  });

  test("says nothing of what was changed while it was read", () => {
    const entries = written("192.0.2.1", "192.0.2.2");
    entries.beginListing(10);
    entries.drop(requirePrefix("192.0.2.1"));
    entries.put(entry("192.0.2.3"), undefined);
    entries.settled(entries.next(1000, 11), 12);
    entries.listed(listed("192.0.2.1"), 13);
    entries.listed(listed("192.0.2.2"), 13);
    expect(entries.endListing(13)).toEqual({ missing: 0, altered: 0, strange: 0 });
  });

  test("what is about to end may be gone", () => {
    const entries = new Entries();
    entries.put(entry("192.0.2.1", 3000), undefined);
    entries.settled(entries.next(1000, 0), 1);
    entries.beginListing(2500);
    expect(entries.endListing(2500).missing).toBe(0);
  });

  test("of a process before is taken up with what it has left", () => {
    const entries = new Entries();
    const before = listed("192.0.2.1", { expiresSeconds: 60, comment: "list:x listed", packets: 3, bytes: 9 });
    expect(entries.adopt(before, 1000)).toBe(true);
    expect(entries.adopt(listed("x"), 1000)).toBe(false);
    expect(entries.record(requirePrefix("192.0.2.1"))).toMatchObject({
      ...{ expiresMs: 61_000, origin: "list:x", reason: "listed", packets: 3 },
    });
    expect(entries.isWritten).toBe(true);
    expect(entries.countIn("ipv4_32")).toBe(1);
  });
});
