// SPDX-License-Identifier: Apache-2.0
// The fence on a map of its own: real packets over veth, blocked and let through by the kernel alone.

import assert from "node:assert/strict";
import process from "node:process";
import { prefixFromBytes, prefixOf } from "../../src/core/address.ts";
import type { FenceRecord } from "../../src/core/bans/fence.ts";
import type { KernelCase } from "./kernel_case.ts";
import { otherPort, pins, prefix, Sandbox, shell } from "./sandbox.ts";

function all(records: Iterable<readonly FenceRecord[]>): FenceRecord[] {
  return [...records].flat();
}

export const fenceCases: readonly KernelCase[] = [
  {
    name: "a banned source is dropped on the guarded port and nowhere else",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open();
      const [bad, good] = [sandbox.network.clientIpv4(1), sandbox.network.clientIpv4(2)];
      assert.equal(await sandbox.connects(bad), true);
      sandbox.ban(fence, bad);
      assert.equal(await sandbox.connects(bad), false);
      assert.equal(await sandbox.connects(bad, otherPort), true);
      assert.equal(await sandbox.connects(good), true);
      const status = fence.status();
      assert.equal(status.weakest?.attach, "native");
      assert.equal(status.weakest?.reason, undefined);
      assert.ok(status.droppedPackets >= 1, `dropped ${status.droppedPackets}`);
      assert.ok(status.droppedBytes >= 54, `dropped bytes ${status.droppedBytes}`);
      assert.equal(status.entries, 1);
      assert.equal(status.capacity, 1_048_576);
      const record = fence.record(prefix(bad));
      assert.equal(record?.reason, "HTTP");
      assert.equal(record?.packets, status.droppedPackets);
      assert.ok((record?.lastSeenMs ?? 0) > sandbox.nowMs() - 5000);
      assert.equal(fence.drop(prefix(bad)), true);
      assert.equal(fence.drop(prefix(bad)), false);
      assert.equal(await sandbox.connects(bad), true);
      assert.equal(fence.status().entries, 0);
    },
  },
  {
    name: "with scope host every port is closed to a banned source",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open({ scope: "host" });
      sandbox.ban(fence, sandbox.network.clientIpv4(1));
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(1), otherPort), false);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(2), otherPort), true);
    },
  },
  {
    name: "an IPv6 network and ranges of both families are dropped whole, their neighbours are not",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const { network } = sandbox;
      const fence = await sandbox.open();
      sandbox.ban(fence, "fd77:0:1::/64");
      sandbox.ban(fence, "10.77.1.4/31");
      sandbox.ban(fence, "fd77:0:6::/47");
      const blocked = await Promise.all([1, 4, 5].map((client) => sandbox.connects(network.clientIpv4(client))));
      assert.deepEqual(blocked, [true, false, false]);
      assert.equal(await sandbox.connects(network.clientIpv4(3)), true);
      const blocked6 = await Promise.all(
        [1, 2, 5, 6, 7, 8].map((client) => sandbox.connects(network.clientIpv6(client))),
      );
      assert.deepEqual(blocked6, [false, true, true, false, false, true]);
      const texts = all(fence.records()).map((record) => record.prefix.text);
      assert.deepEqual(texts.sort(), ["10.77.1.4/31", "fd77:0:1::/64", "fd77:0:6::/47"]);
      const wanted = all(fence.records((key) => prefixOf(key).text !== "fd77:0:1::/64"));
      assert.deepEqual(wanted.map((record) => record.prefix.text).sort(), ["10.77.1.4/31", "fd77:0:6::/47"]);
      assert.notEqual(fence.mapOf(prefix("10.77.1.4/31")), fence.mapOf(prefix("10.77.1.4")));
      assert.equal(fence.dropMany([prefix("10.77.1.4/31"), prefix("fd77:0:6::/47"), prefix("10.9.9.0/24")]), 2);
      assert.equal(await sandbox.connects(network.clientIpv4(4)), true);
      assert.equal(await sandbox.connects(network.clientIpv6(6)), true);
    },
  },
  {
    name: "the kernel ends a ban on time, and a tick takes the entry out",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open();
      const source = sandbox.network.clientIpv4(1);
      sandbox.ban(fence, source, 2500);
      const expiresMs = fence.record(prefix(source))?.expiresMs ?? 0;
      assert.equal(await sandbox.connects(source), false);
      assert.ok(sandbox.nowMs() < expiresMs);
      while (sandbox.nowMs() < expiresMs + 20) shell("sleep", "0.05");
      assert.equal(await sandbox.connects(source), true);
      assert.equal(fence.status().entries, 1);
      await sandbox.sweep(fence, () => fence.status().entries === 0);
      assert.equal(fence.record(prefix(source)), undefined);
    },
  },
  {
    name: "a longer ban keeps what was counted",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const fence = await sandbox.open();
      const source = sandbox.network.clientIpv4(1);
      sandbox.ban(fence, source);
      await sandbox.connects(source);
      const before = fence.record(prefix(source));
      sandbox.ban(fence, source, 120_000);
      const after = fence.record(prefix(source));
      assert.ok((before?.packets ?? 0) > 0);
      assert.equal(after?.packets, before?.packets);
      assert.ok((after?.expiresMs ?? 0) > (before?.expiresMs ?? 0) + 50_000);
      assert.equal(fence.status().entries, 1);
      const endless = fence.put({
        prefix: prefix(source),
        expiresMs: Number.POSITIVE_INFINITY,
        reason: "manual",
        origin: "sniffer" as const,
      });
      assert.equal(endless.kind, "enforced");
      assert.equal(fence.record(prefix(source))?.expiresMs, Number.POSITIVE_INFINITY);
      assert.equal(fence.record(prefix(source))?.reason, "manual");
    },
  },
  {
    name: "a deliberate stop leaves no pin and no program",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      assert.equal(pins(sandbox.map).length, 5);
      assert.match(shell("bpftool", "net", "show", "dev", sandbox.network.device), /gate_xdp|driver/);
      fence.close(false);
      fence.close(false);
      assert.deepEqual(pins(sandbox.map), []);
      assert.doesNotMatch(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
    },
  },
  {
    name: "after a stop that keeps, the next start takes link and entries over",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const source = sandbox.network.clientIpv4(1);
      const first = await sandbox.open();
      sandbox.ban(first, source);
      sandbox.ban(first, "10.77.1.4/31");
      const expiresMs = first.record(prefix(source))?.expiresMs;
      const link = shell("bpftool", "link", "show", "pinned", `${sandbox.path}_link_2`).split(":")[0];
      first.close(true);
      assert.equal(await sandbox.connects(source), false);
      const second = await sandbox.open({ version: "0.0.2" });
      assert.equal(shell("bpftool", "link", "show", "pinned", `${sandbox.path}_link_2`).split(":")[0], link);
      assert.equal(second.status().weakest?.attach, "native");
      assert.equal(second.record(prefix(source))?.expiresMs, expiresMs);
      assert.equal(all(second.records()).length, 2);
      assert.equal(second.status().entries, 2);
      assert.equal(await sandbox.connects(source), false);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv4(5)), false);
      second.close(false);
      assert.deepEqual(pins(sandbox.map), []);
      assert.equal(await sandbox.connects(source), true);
    },
  },
  {
    name: "an IPv6 ban survives a change of the ban prefix",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const first = await sandbox.open();
      sandbox.ban(first, "fd77:0:1::/64");
      first.close(true);
      const second = await sandbox.open({ ipv6PrefixBits: 56 });
      assert.equal(second.record(prefix("fd77:0:1::/64"))?.reason, "HTTP");
      assert.equal(await sandbox.connects(sandbox.network.clientIpv6(1)), false);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv6(2)), true);
    },
  },
  {
    name: "putMany answers for each entry, whichever map it is for",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      const texts = ["192.0.2.1", "192.0.2.0/28", "2001:db8::/64", "2001:db8:1::1", "192.0.2.1"];
      const entries = texts.map((text) => ({
        prefix: prefix(text),
        expiresMs: sandbox.nowMs() + 9000,
        reason: "manual",
        origin: "sniffer" as const,
      }));
      assert.deepEqual(new Set(fence.putMany(entries).map(({ kind }) => kind)), new Set(["enforced"]));
      assert.deepEqual(
        all(fence.records())
          .map((record) => record.prefix.text)
          .sort(),
        ["192.0.2.0/28", "192.0.2.1", "2001:db8:1::1", "2001:db8::/64"],
      );
      assert.equal(fence.dropMany(entries.map((entry) => entry.prefix)), 4);
      assert.deepEqual(all(fence.records()), []);
    },
  },
  {
    name: "scale: a list goes in and out by batches, and what is over is swept in short slices",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      const count = 200_000;
      const endMs = sandbox.nowMs() + 600_000;
      const entries = Array.from({ length: count }, (_, index) => {
        const bytes = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 20, index >> 16, index >> 8, index);
        return {
          prefix: prefixFromBytes(bytes),
          expiresMs: index % 2 === 0 ? endMs : 1,
          reason: "HTTP",
          origin: "sniffer" as const,
        };
      });
      const startMs = performance.now();
      assert.ok(fence.putMany(entries).every(({ kind }) => kind === "enforced"));
      const putMs = performance.now() - startMs;
      assert.equal(fence.status().entries, count);
      const slices: number[] = [];
      const walk = fence.records();
      for (let isOver = false; !isOver && slices.length < 5000; ) {
        const before = process.cpuUsage();
        isOver = walk.next().done === true;
        const { user, system } = process.cpuUsage(before);
        slices.push((user + system) / 1000);
      }
      assert.equal(fence.status().entries, count / 2);
      const dropMs = performance.now();
      assert.equal(fence.dropMany(entries.map((entry) => entry.prefix)), count / 2);
      assert.deepEqual(all(fence.records()), []);
      const limitMs = 3000;
      assert.ok(
        putMs < limitMs && performance.now() - dropMs < limitMs,
        `put ${putMs}, drop ${performance.now() - dropMs}`,
      );
      // Of the CPU, and not the mean: the collector runs in some of them.
      const sliceMs = slices.sort((a, b) => a - b)[slices.length >> 2] ?? 0;
      assert.ok(sliceMs < 5, `${sliceMs} ms a slice`);
    },
  },
];
