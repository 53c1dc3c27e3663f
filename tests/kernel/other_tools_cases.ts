// SPDX-License-Identifier: Apache-2.0
// Entries that another tool writes into ttgate's own maps, by bpftool as docs/map.md shows it.
import assert from "node:assert/strict";
import type { KernelCase } from "./kernel_case.ts";
import { prefix, Sandbox, shell } from "./sandbox.ts";

const zeros = (count: number): string[] => Array.from({ length: count }, () => "0");

/** A key of 16 bytes in bpftool's hex. */
function key(text: string): string[] {
  return [...prefix(text).bytes].map((byte) => byte.toString(16));
}

/** struct ban with this expiry and nothing else. */
function ban(expiresNs: number): string[] {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, BigInt(Math.round(expiresNs)), true);
  return ["hex", ...Array.from({ length: 8 }, (_, index) => bytes.getUint8(index).toString(16)), ...zeros(32)];
}

function write(path: string, keyBytes: readonly string[], value: readonly string[]): void {
  shell("bpftool", "map", "update", "pinned", path, "key", "hex", ...keyBytes, "value", ...value);
}

export const otherToolsCases: readonly KernelCase[] = [
  {
    name: "other tools: an entry of zeros bans without an end, one with a time ends by itself and is taken out",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open();
      write(sandbox.path, key("10.77.1.1"), ["hex", ...zeros(40)]);
      write(sandbox.path, key("10.77.1.2"), ban((sandbox.nowMs() + 60_000) * 1e6));
      write(sandbox.path, key("10.77.1.3"), ban((sandbox.nowMs() - 1000) * 1e6));
      const connected = await Promise.all([1, 2, 3].map((client) => sandbox.connects(`10.77.1.${client}`)));
      assert.deepEqual(connected, [false, false, true]);
      const records = [...fence.records()].flat();
      assert.deepEqual(records.map((record) => record.prefix.text).sort(), ["10.77.1.1", "10.77.1.2"]);
      assert.equal(fence.record(prefix("10.77.1.1"))?.expiresMs, Number.POSITIVE_INFINITY);
      assert.equal(fence.record(prefix("10.77.1.1"))?.reason, "unknown");
      assert.equal(fence.record(prefix("10.77.1.3")), undefined);
      await sandbox.sweep(fence, () => fence.status().entries === 2);
      assert.equal(fence.drop(prefix("10.77.1.1")), true);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
    },
  },
  {
    name: "other tools: a range that nobody announced is looked at from the next tick on",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open();
      write(`${sandbox.path}_cidr`, ["7f", "0", "0", "0", ...key("10.77.1.4")], ["hex", ...zeros(40)]);
      assert.equal(await sandbox.connects("10.77.1.5"), true);
      fence.tick(sandbox.nowMs());
      assert.equal(await sandbox.connects("10.77.1.5"), false);
      assert.equal(fence.record(prefix("10.77.1.4/31"))?.expiresMs, Number.POSITIVE_INFINITY);
      assert.equal(fence.record(prefix("10.77.1.5/32")), undefined);
    },
  },
  {
    name: "other tools: an IPv6 address is moved to the network that is looked up",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open({ ipv6PrefixBits: 60 });
      write(sandbox.path, key("fd77:0:1::2"), ban((sandbox.nowMs() + 60_000) * 1e6));
      const texts = () => [...fence.records()].flat().map((record) => record.prefix.text);
      await sandbox.sweep(fence, () => texts().includes("fd77:0:1::/60"));
      assert.deepEqual(texts(), ["fd77:0:1::/60"]);
      assert.equal(fence.status().entries, 1);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv6(1)), false);
    },
  },
  {
    name: "ranges: a narrower one inside a wider one is a ban of its own",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      sandbox.ban(fence, "10.0.0.0/8", 60_000);
      const outer = fence.record(prefix("10.0.0.0/8"))?.expiresMs;
      assert.equal(fence.record(prefix("10.1.0.0/16")), undefined);
      assert.equal(fence.drop(prefix("10.1.0.0/16")), false);
      sandbox.ban(fence, "10.1.0.0/16", 120_000);
      assert.equal(fence.record(prefix("10.0.0.0/8"))?.expiresMs, outer);
      assert.ok((fence.record(prefix("10.1.0.0/16"))?.expiresMs ?? 0) > (outer ?? 0));
      assert.equal(fence.drop(prefix("10.1.0.0/16")), true);
      assert.equal(fence.record(prefix("10.1.0.0/16")), undefined);
      assert.equal(fence.ask(prefix("10.1.2.3")), "drop");
    },
  },
  {
    name: "a start makes anew what is missing of the set",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const first = await sandbox.open();
      sandbox.ban(first, "10.77.1.1");
      sandbox.ban(first, "10.77.1.4/31");
      first.close(true);
      for (const suffix of ["_settings", "_counters"]) shell("rm", `${sandbox.path}${suffix}`);
      const second = await sandbox.open();
      assert.equal(second.status().proof?.passed, true);
      assert.deepEqual(
        await Promise.all(["10.77.1.1", "10.77.1.2", "10.77.1.5"].map((source) => sandbox.connects(source))),
        [false, true, false],
      );
    },
  },
];
