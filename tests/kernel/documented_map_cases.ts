// SPDX-License-Identifier: Apache-2.0
// The documented map of IPv4 addresses, made by bpftool as its users make it.
import assert from "node:assert/strict";
import type { KernelCase } from "./kernel_case.ts";
import { attachReader, loadReader } from "./other_program.ts";
import { bpffs, pins, prefix, Sandbox, shell } from "./sandbox.ts";

interface Made {
  readonly type?: string;
  readonly value?: number;
  readonly entries?: number;
}

function make(path: string, { type = "hash", value = 4, entries = 1024 }: Made = {}): void {
  const geometry = ["type", type, "key", "4", "value", String(value), "entries", String(entries)];
  shell("bpftool", "map", "create", path, ...geometry, "name", "tapetrack_block_map");
}

/** Entries as bpftool shows them, `10 77 1 1: 232 3 0 0` in decimal. */
function dump(path: string): string[] {
  const entries = JSON.parse(shell("bpftool", "-j", "map", "dump", "pinned", path)) as {
    readonly key: readonly string[];
    readonly value: readonly string[];
  }[];
  const decimal = (bytes: readonly string[]): string => bytes.map((byte) => Number(byte)).join(" ");
  return entries.map(({ key, value }) => `${decimal(key)}: ${decimal(value)}`).sort();
}

function set(path: string, key: string, value: string): void {
  shell("bpftool", "map", "update", "pinned", path, "key", ...key.split(" "), "value", ...value.split(" "));
}

/** `seconds` as four bytes, the low one first. */
function bytesOf(seconds: number): string {
  return [0, 8, 16, 24].map((shift) => (seconds >>> shift) & 0xff).join(" ");
}

export const documentedMapCases: readonly KernelCase[] = [
  {
    name: "documented map: key bytes in network order, seconds since boot, and our program over it",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path);
      const fence = await sandbox.open();
      const source = sandbox.network.clientIpv4(1);
      sandbox.ban(fence, source, 60_000);
      const seconds = Math.ceil((sandbox.nowMs() + 60_000) / 1000);
      const found = dump(sandbox.path);
      assert.ok(
        [seconds, seconds - 1, seconds + 1].some((value) => found[0] === `10 77 1 1: ${bytesOf(value)}`),
        found.join(),
      );
      assert.equal(found.length, 1);
      assert.equal(await sandbox.connects(source), false);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(2)), true);
      assert.ok(fence.status().droppedPackets >= 1);
      assert.equal(fence.status().managedBy, undefined);
      assert.equal(fence.status().capacity, 1024);
      sandbox.ban(fence, "fd77:0:1::/64");
      assert.equal(await sandbox.connects(sandbox.network.clientIpv6(1)), false);
      sandbox.ban(fence, "10.77.1.4/31");
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(5)), false);
      assert.equal(dump(sandbox.path).length, 1);
      fence.close(false);
      assert.deepEqual(pins(sandbox.map), [sandbox.map]);
      assert.deepEqual(dump(sandbox.path), []);
      assert.equal(await sandbox.connects(source), true);
    },
  },
  {
    name: "documented map: an entry written by hand blocks, is foreign, and is left alone",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path);
      set(sandbox.path, "10 77 1 1", "0 0 0 0");
      const fence = await sandbox.open();
      set(sandbox.path, "10 77 1 2", "1 0 0 0");
      for (const client of [1, 2]) assert.equal(await sandbox.connects(sandbox.network.clientIpv4(client)), false);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(3)), true);
      const record = fence.record(prefix("10.77.1.1"));
      assert.equal(record?.origin, "foreign");
      assert.equal(record?.expiresMs, Number.POSITIVE_INFINITY);
      sandbox.ban(fence, "10.77.1.1", 1000);
      assert.equal(fence.drop(prefix("10.77.1.1")), false);
      assert.equal(fence.dropMany([prefix("10.77.1.2")]), 0);
      fence.tick(sandbox.nowMs() + 1e9);
      fence.close(false);
      assert.deepEqual(dump(sandbox.path), ["10 77 1 1: 0 0 0 0", "10 77 1 2: 1 0 0 0"]);
    },
  },
  {
    name: "documented map: a start takes out what is over and takes the rest on",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path);
      const seconds = Math.floor(sandbox.nowMs() / 1000);
      set(sandbox.path, "10 77 1 1", bytesOf(seconds - 5));
      set(sandbox.path, "10 77 1 2", bytesOf(seconds + 100));
      const fence = await sandbox.open();
      assert.deepEqual(dump(sandbox.path), [`10 77 1 2: ${bytesOf(seconds + 100)}`]);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
      assert.equal(await sandbox.connects("10.77.1.2"), false);
      assert.equal(fence.record(prefix("10.77.1.2"))?.expiresMs, (seconds + 100) * 1000);
      // Written by another tool while ttgate runs: it blocks, it is listed, it stays when ttgate goes.
      set(sandbox.path, "10 77 1 3", bytesOf(seconds + 200));
      assert.equal(await sandbox.connects("10.77.1.3"), false);
      assert.equal([...fence.records()].flat().length, 2);
      fence.close(false);
      assert.deepEqual(dump(sandbox.path), [`10 77 1 3: ${bytesOf(seconds + 200)}`]);
    },
  },
  {
    name: "documented map: eight bytes are nanoseconds",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path, { value: 8 });
      const fence = await sandbox.open();
      sandbox.ban(fence, "10.77.1.1", 2500);
      const expiresMs = fence.record(prefix("10.77.1.1"))?.expiresMs ?? 0;
      assert.ok(Math.abs(expiresMs - sandbox.nowMs() - 2500) < 200);
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      while (sandbox.nowMs() < expiresMs + 20) shell("sleep", "0.05");
      assert.equal(await sandbox.connects("10.77.1.1"), true);
      const endless = {
        prefix: prefix("10.77.1.2"),
        expiresMs: Number.POSITIVE_INFINITY,
        reason: "manual",
        origin: "sniffer" as const,
      };
      assert.equal(fence.put(endless).kind, "enforced");
      assert.equal(fence.record(endless.prefix)?.expiresMs, Number.POSITIVE_INFINITY);
      assert.equal(await sandbox.connects("10.77.1.2"), false);
    },
  },
  {
    name: "documented map: a full one says so, an LRU one too instead of forgetting somebody",
    async run(native) {
      for (const type of ["hash", "lru_hash"]) {
        await using sandbox = new Sandbox(native);
        make(sandbox.path, { type, entries: 256 });
        const fence = await sandbox.open();
        const entries = Array.from({ length: 300 }, (_, index) => ({
          prefix: prefix(`192.0.2.${index % 250}`.replace("192.0.2", index < 250 ? "192.0.2" : "198.51.100")),
          expiresMs: sandbox.nowMs() + 60_000,
          reason: "HTTP",
          origin: "sniffer" as const,
        }));
        const outcomes = fence.putMany(entries);
        const enforced = outcomes.filter(({ kind }) => kind === "enforced").length;
        assert.deepEqual([enforced, outcomes[299]?.kind], [256, "full"], type);
        assert.equal(fence.put({ ...entries[299], prefix: prefix("203.0.113.1") } as never).kind, "full");
        // The kernel's LRU forgets one before it is full where the writer changed its processor meanwhile.
        const standing = entries.filter((entry) => fence.record(entry.prefix) !== undefined);
        assert.ok(standing.length >= (type === "hash" ? 256 : 1));
        assert.equal(fence.put(standing[0] as never).kind, "enforced");
        assert.equal(fence.status().entries, 256);
        assert.equal(fence.status().evicts, type === "lru_hash");
      }
    },
  },
  {
    name: "documented map by its id: siblings are named after the id",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path);
      const id = Number(shell("bpftool", "map", "show", "pinned", sandbox.path).split(":")[0]);
      sandbox.defer(() => {
        for (const name of pins(`ttgate_map_${id}_`)) shell("rm", "-f", `${bpffs}/${name}`);
      });
      const fence = await sandbox.open({ map: `id:${id}` });
      sandbox.ban(fence, "10.77.1.1");
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.equal(pins(`ttgate_map_${id}_`).length, 5);
      fence.close(false);
      assert.deepEqual(pins(`ttgate_map_${id}`), []);
      assert.deepEqual(dump(sandbox.path), []);
    },
  },
  {
    name: "documented map that somebody else's program reads: only the entries are managed",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      make(sandbox.path);
      const reader = loadReader(sandbox, sandbox.path);
      attachReader(sandbox, reader);
      const before = shell("bpftool", "net", "show", "dev", sandbox.network.device);
      const fence = await sandbox.open();
      const status = fence.status();
      assert.match(status.managedBy ?? "", /^program "reader" \(id \d+\)$/);
      assert.equal(status.weakest?.attach, "native");
      sandbox.ban(fence, "10.77.1.1");
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      const outcome = fence.put({
        prefix: prefix("fd77:0:1::/64"),
        expiresMs: sandbox.nowMs() + 1000,
        reason: "HTTP",
        origin: "sniffer" as const,
      });
      assert.equal(outcome.kind, "failed");
      assert.match(outcome.kind === "failed" ? outcome.message : "", /single IPv4 addresses only.*"fd77:0:1::\/64"/);
      assert.equal(shell("bpftool", "net", "show", "dev", sandbox.network.device), before);
      assert.deepEqual(pins(sandbox.map), [sandbox.map, `${sandbox.map}_reader`]);
      // The reader goes: nothing is blocked any more, and status says so.
      shell("ip", "link", "set", "dev", sandbox.network.device, "xdp", "off");
      assert.match(fence.status().weakest?.reason ?? "", /is not attached here any more/);
      assert.match(
        fence.status().faults.join(),
        /The block map's reader on interface ".*": .*not attached here any more/,
      );
      // A new one of its kind over the same map is as good.
      const device = sandbox.network.device;
      shell("mv", reader, `${reader}_before`);
      loadReader(sandbox, sandbox.path);
      attachReader(sandbox, reader);
      assert.deepEqual([fence.status().weakest?.attach, fence.status().faults], ["native", []]);
      shell("ip", "link", "set", "dev", device, "xdp", "off");
      shell("rm", `${reader}_before`);
      // Somebody makes the map anew: what is written into that one blocks nobody.
      shell("mv", sandbox.path, `${sandbox.path}_before`);
      make(sandbox.path);
      assert.match(fence.status().faults.join(), /Pin ".*" is not the map in use any more/);
      shell("mv", `${sandbox.path}_before`, sandbox.path);
      shell("rm", reader);
      fence.tick(sandbox.nowMs());
      assert.equal(fence.status().managedBy, undefined);
      assert.match(fence.status().weakest?.reason ?? "", /is gone/);
      fence.close(false);
      assert.deepEqual(dump(sandbox.path), []);
    },
  },
];
