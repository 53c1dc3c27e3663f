// SPDX-License-Identifier: Apache-2.0
// Maps by batch calls and without them: the same entries either way.
import assert from "node:assert/strict";
import { loadGate } from "../../src/fences/xdp/gate_program.ts";
import { exactCodec } from "../../src/fences/xdp/maps/ban_codec.ts";
import { BanStore } from "../../src/fences/xdp/maps/ban_store.ts";
import { structBytes } from "../../src/fences/xdp/maps/layout.ts";
import { Reasons } from "../../src/fences/xdp/maps/reasons.ts";
import { type BpfMap, openMap } from "../../src/kernel/bpf_map.ts";
import { closeFd } from "../../src/kernel/bpffs.ts";
import { KernelError } from "../../src/kernel/errno.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { cString, nativeBytes } from "../../src/kernel/native_bytes.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import type { KernelCase } from "./kernel_case.ts";
import { prefix } from "./sandbox.ts";

const hash = 1;
const trie = 11;
const noPreallocation = 1;

function create({ bpf }: Libraries, type: number, keyBytes: number, entries: number, valueBytes = 8): number {
  const options = nativeBytes(48);
  const view = new DataView(options.buffer);
  view.setBigUint64(0, 48n, true);
  view.setUint32(28, noPreallocation, true);
  const fd = bpf.bpf_map_create(type, cString("test"), keyBytes, valueBytes, entries, options);
  assert.ok(fd >= 0, `map_create ${fd}`);
  return fd;
}

function fill(map: BpfMap, count: number): ReadonlyMap<number, number> {
  const { keyBytes, valueBytes } = map.info;
  const keys = nativeBytes(keyBytes * count);
  const values = nativeBytes(valueBytes * count);
  for (let index = 0; index < count; index++) {
    // In a trie the first four bytes are the length of the prefix.
    if (map.info.type === trie) new DataView(keys.buffer).setUint32(index * keyBytes, 32, true);
    new DataView(keys.buffer).setUint32((index + 1) * keyBytes - 4, index);
    new DataView(values.buffer).setUint32(index * valueBytes, index);
  }
  return map.updateMany(keys, values, count);
}

/** Numbers in the values, and that each stands beside its own key. */
function read(map: BpfMap, size: number): number[] {
  const { keyBytes, valueBytes } = map.info;
  const found: number[] = [];
  for (const { keys, values, count } of map.slices(size)) {
    for (let index = 0; index < count; index++) {
      const number = new DataView(values.buffer).getUint32(index * valueBytes);
      assert.equal(new DataView(keys.buffer).getUint32((index + 1) * keyBytes - 4), number);
      found.push(number);
    }
  }
  return found.sort((a, b) => a - b);
}

export const mapCases: readonly KernelCase[] = [
  {
    name: "maps: written, read and deleted in batches as one by one",
    async run(native) {
      const libraries = await openLibraries(native);
      for (const [type, keyBytes] of [
        [hash, 16],
        [hash, 4],
        [trie, 8],
      ] as const) {
        for (const batches of [true, false]) {
          const fd = create(libraries, type, keyBytes, 1000);
          try {
            const map = openMap(libraries, fd);
            map.batches = batches;
            assert.equal(map.isEmpty(), true);
            assert.equal(fill(map, 900).size, 0);
            const numbers = Array.from({ length: 900 }, (_, index) => index);
            for (const size of [1, 64, 100, 5000]) assert.deepEqual(read(map, size), numbers);
            // Twelve too many, of which those that are there already go in all the same.
            const refused = fill(map, 1012);
            assert.deepEqual(
              [...refused.keys()],
              Array.from({ length: 12 }, (_, index) => 1000 + index),
            );
            assert.ok([...refused.values()].every((result) => result === (type === trie ? -28 : -7)));
            const keys = nativeBytes(keyBytes * 4);
            for (const [index, number] of [3, 5000, 4, 5001].entries()) {
              if (type === trie) new DataView(keys.buffer).setUint32(index * keyBytes, 32, true);
              new DataView(keys.buffer).setUint32((index + 1) * keyBytes - 4, number);
            }
            assert.equal(map.deleteMany(keys, 4), 2);
            assert.equal(read(map, 100).length, 998);
            assert.equal(map.batches, batches);
          } finally {
            closeFd(libraries, fd);
          }
        }
      }
    },
  },
  {
    name: "maps: every entry may be deleted while they are read",
    async run(native) {
      const libraries = await openLibraries(native);
      for (const batches of [true, false]) {
        const fd = create(libraries, hash, 16, 1000);
        try {
          const map = openMap(libraries, fd);
          map.batches = batches;
          fill(map, 1000);
          let deleted = 0;
          for (const { keys, count } of map.slices(64)) deleted += map.deleteMany(keys, count);
          assert.equal(deleted, 1000);
          assert.equal(map.isEmpty(), true);
        } finally {
          closeFd(libraries, fd);
        }
      }
    },
  },
  {
    name: "maps: of a list that comes in small pieces only the first entries are looked up",
    async run(native) {
      const libraries = await openLibraries(native);
      const fd = create(libraries, hash, structBytes.ban_key, 100_000, structBytes.ban);
      try {
        const map = openMap(libraries, fd);
        let lookups = 0;
        const counted = (key: NativeBuffer) => {
          lookups++;
          return map.lookup(key);
        };
        const store = new BanStore("test", { ...map, lookup: counted }, exactCodec(new Reasons([]), 64));
        for (let piece = 0; piece < 200; piece++) {
          const entries = Array.from({ length: 100 }, (_, index) => {
            const source = prefix(`198.18.${piece}.${index}`);
            return { prefix: source, expiresMs: 600_000, reason: "HTTP", origin: "sniffer" as const };
          });
          assert.ok(store.putMany(entries).every(({ kind }) => kind === "enforced"));
        }
        assert.equal(store.entries, 20_000);
        assert.ok(lookups > 0 && lookups < 1000, `${lookups} look-ups`);
      } finally {
        closeFd(libraries, fd);
      }
    },
  },
  {
    name: "program: a damaged object is named as that, one with other maps by the verifier",
    async run(native) {
      const libraries = await openLibraries(native);
      const flavour = { kind: "own" } as const;
      const { bpfObject } = await import("../../src/generated/bpf_object.ts");
      const whole = Uint8Array.fromBase64(bpfObject);
      const cut = nativeBytes(3000);
      cut.set(whole.subarray(0, 3000));
      assert.throws(
        () => loadGate(libraries, { kind: "gate", bytes: cut }, { flavour, ipv4Fd: undefined, own: {} }),
        /^KernelError: Open the BPF object: [A-Z_]+, it is damaged: build it again with make bpf$/,
      );
      const spoiled = nativeBytes(whole.length);
      spoiled.set(whole);
      spoiled.fill(0xff, 64, 4096);
      assert.throws(
        () => loadGate(libraries, { kind: "gate", bytes: spoiled }, { flavour, ipv4Fd: undefined, own: {} }),
        KernelError,
      );
      const small = create(libraries, hash, 4, 8);
      try {
        assert.throws(
          () =>
            loadGate(
              libraries,
              { kind: "gate", bytes: whole },
              { flavour, ipv4Fd: undefined, own: { ttgate_settings: small } },
            ),
          /^KernelError: Load the BPF program: E[A-Z]+, .*\S/,
        );
      } finally {
        closeFd(libraries, small);
      }
    },
  },
];
