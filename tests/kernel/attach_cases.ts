// SPDX-License-Identifier: Apache-2.0
// The steps down from native XDP, each with its reason, and what becomes of somebody else's program.
import assert from "node:assert/strict";
import { detachFence } from "../../src/fences/xdp/detach.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { interfaceIndex } from "../../src/kernel/xdp_query.ts";
import { waitFor } from "../harness/wait.ts";
import type { KernelCase } from "./kernel_case.ts";
import { attachFirst, attachReader, loadReader } from "./other_program.ts";
import { pins, prefix, Sandbox, shell } from "./sandbox.ts";

/** include/uapi/linux/bpf.h: enum bpf_attach_type, and BPF_F_BEFORE without another program: before all. */
const tcxIngress = 46;
const before = 8;

export const attachCases: readonly KernelCase[] = [
  {
    name: "an interface without native XDP gets generic XDP, and the reason is told",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open({ interfaces: ["lo", sandbox.network.device] });
      const status = fence.status();
      assert.equal(status.weakest?.attach, "generic");
      assert.match(status.weakest?.reason ?? "", /no native XDP: the driver does not have it \(EOPNOTSUPP\)/);
      assert.deepEqual(
        status.places.map(({ name, attach }) => [name, attach]),
        [
          ["lo", "generic"],
          [sandbox.network.device, "native"],
        ],
      );
      assert.ok(sandbox.log.some((line) => /^warn Interface "lo": guarded by generic XDP: no native XDP/.test(line)));
      fence.close(false);
      assert.doesNotMatch(shell("ip", "link", "show"), /xdp/);
    },
  },
  {
    name: "a driver that takes native XDP again gets it, within a minute, and no packet passes in between",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const { device } = sandbox.network;
      const peer = ["ip", "netns", "exec", sandbox.network.client, "ethtool", "-L", sandbox.network.clientDevice];
      // veth takes native XDP only with as many queues as the other end sends by.
      shell(...peer, "tx", "2");
      const fence = await sandbox.open({ scope: "host" });
      assert.equal(fence.status().weakest?.attach, "generic");
      const places = () => fence.status().places.map(({ attach, reason }) => [attach, reason]);
      const refused = places();
      const pinned = pins(sandbox.map);
      sandbox.ban(fence, "10.77.1.1");
      const ticks = [0, 59_999, 60_000, 120_000].map((afterMs) => sandbox.nowMs() + afterMs);
      // Still refused: as before.
      for (const atMs of ticks.slice(0, 3)) fence.tick(atMs);
      assert.deepEqual(places(), refused);
      assert.deepEqual(pins(sandbox.map), pinned);
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      shell(...peer, "tx", "1");
      fence.tick((ticks[2] ?? 0) + 59_999);
      assert.deepEqual(places(), refused);
      const dropped = () => fence.record(prefix("10.77.1.1"))?.packets ?? 0;
      const before = dropped();
      const got = await sandbox.flood("10.77.1.1");
      const friends = await sandbox.flood("10.77.1.2");
      await waitFor("the floods", () => dropped() > before && friends.length > 0);
      fence.tick(ticks[3] ?? 0);
      assert.deepEqual(places(), [["native", undefined]]);
      const natively = dropped();
      await waitFor("the flood to go on", () => dropped() > natively);
      const until = friends.length;
      await waitFor("a friend's datagrams", () => friends.length > until + 100);
      assert.deepEqual([got, pins(sandbox.map)], [[], pinned]);
      fence.prove(sandbox.nowMs());
      assert.equal(fence.status().proof?.passed, true);
      assert.doesNotMatch(shell("bpftool", "net", "show", "dev", device), /tcx/);
      assert.ok(sandbox.log.includes(`info Interface "${device}": guarded by native XDP`));
      assert.equal(await sandbox.connects("10.77.1.2"), true);
    },
  },
  {
    name: "somebody else's XDP program stays where it is, ttgate works beside it by tc",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      attachReader(sandbox, loadReader(sandbox, undefined));
      const holder = /prog\/xdp id (\d+)/.exec(shell("ip", "link", "show", "dev", sandbox.network.device))?.[1];
      const fence = await sandbox.open();
      const status = fence.status();
      assert.equal(status.weakest?.attach, "tc");
      assert.equal(status.weakest?.reason, `no XDP: program "reader" (id ${holder}) is attached there (EBUSY)`);
      sandbox.ban(fence, "10.77.1.1");
      sandbox.ban(fence, "fd77:0:1::/64");
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.equal(await sandbox.connects("10.77.1.2"), true);
      assert.equal(await sandbox.connects(sandbox.network.clientIpv6(1)), false);
      assert.ok((fence.record(prefix("10.77.1.1"))?.packets ?? 0) > 0);
      fence.close(true);
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      const second = await sandbox.open();
      assert.equal(second.status().weakest?.attach, "tc");
      second.close(false);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
      assert.match(shell("ip", "link", "show", "dev", sandbox.network.device), new RegExp(`prog/xdp id ${holder}`));
    },
  },
  {
    name: "by tc ttgate is before programs that were there, and before one that goes before it",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const ifindex = interfaceIndex(await openLibraries(native), sandbox.network.device);
      const takeOff = await attachFirst(sandbox, "decider", ifindex, tcxIngress);
      const fence = await sandbox.open({ ladder: ["tcx"] });
      sandbox.ban(fence, "10.77.1.1");
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      takeOff();
      const pinned = pins(sandbox.map);
      await attachFirst(sandbox, "decider", ifindex, tcxIngress, before);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
      const said = /^warn Interface ".*": another tc program was before ttgate's: attached again, before it$/;
      await sandbox.sweep(fence, () => sandbox.log.some((line) => said.test(line)));
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.equal(await sandbox.connects("10.77.1.2"), true);
      assert.deepEqual(pins(sandbox.map), pinned);
      assert.deepEqual([fence.status().proof?.passed, fence.status().faults], [true, []]);
      fence.close(false);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
    },
  },
  {
    name: "an interface that goes away and comes back is guarded again",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const { network } = sandbox;
      const fence = await sandbox.open();
      sandbox.ban(fence, "10.77.1.1");
      network.cut();
      fence.tick(sandbox.nowMs());
      assert.equal(fence.status().weakest?.attach, "none");
      assert.equal(fence.status().weakest?.reason, "the interface is not there");
      fence.tick(sandbox.nowMs());
      network.join();
      fence.tick(sandbox.nowMs());
      assert.deepEqual([fence.status().weakest?.attach, fence.status().weakest?.reason], ["native", undefined]);
      assert.equal(fence.status().proof?.passed, true);
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.equal(await sandbox.connects("10.77.1.2"), true);
    },
  },
  {
    name: "a link that somebody took off is put back",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      shell("bpftool", "link", "detach", "pinned", `${sandbox.path}_link_2`);
      assert.doesNotMatch(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
      fence.tick(sandbox.nowMs());
      assert.match(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
      assert.equal(fence.status().weakest?.attach, "native");
    },
  },
  {
    name: "as a tc filter, for kernels without tc links: outlives the process, is replaced, goes with detach",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await sandbox.listen();
      const { device } = sandbox.network;
      const filters = (): string => shell("tc", "filter", "show", "dev", device, "ingress");
      const first = await sandbox.open({ ladder: ["clsact"] });
      assert.deepEqual([first.status().weakest?.attach, first.status().proof?.passed], ["tc", true]);
      sandbox.ban(first, "10.77.1.1");
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.equal(await sandbox.connects("10.77.1.2"), true);
      first.close(true);
      assert.equal(await sandbox.connects("10.77.1.1"), false);
      assert.match(filters(), /gate_tc/);
      const second = await sandbox.open({ ladder: ["clsact"] });
      assert.equal(second.status().proof?.passed, true);
      assert.equal(filters().match(/ handle /g)?.length, 1);
      // Somebody takes it off: it is put back.
      shell("tc", "filter", "del", "dev", device, "ingress");
      second.tick(sandbox.nowMs());
      assert.match(filters(), /gate_tc/);
      second.close(true);
      const { removed } = await detachFence(native, sandbox.map);
      assert.deepEqual(
        removed.filter(({ kind }) => kind === "filter"),
        [{ kind: "filter", path: device }],
      );
      assert.doesNotMatch(filters(), /gate_tc/);
      assert.equal(await sandbox.connects("10.77.1.1"), true);
    },
  },
  {
    name: "a tc filter of an older kernel's start goes once XDP is in place",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const first = await sandbox.open({ ladder: ["clsact"] });
      first.close(true);
      const second = await sandbox.open();
      assert.equal(second.status().weakest?.attach, "native");
      assert.doesNotMatch(shell("tc", "filter", "show", "dev", sandbox.network.device, "ingress"), /gate_tc/);
    },
  },
  {
    name: "with nothing to attach, entries are kept and the reason is told",
    async run(native) {
      await using sandbox = new Sandbox(native);
      attachReader(sandbox, loadReader(sandbox, undefined));
      const fence = await sandbox.open({ ladder: ["native", "generic"] });
      assert.equal(fence.status().weakest?.attach, "none");
      assert.match(
        fence.status().weakest?.reason ?? "",
        /^no XDP: program "reader" \(id \d+\) is attached there \(EBUSY\)$/,
      );
      assert.equal(fence.status().proof, undefined);
      assert.equal(fence.ask(prefix("10.77.1.1")), undefined);
      sandbox.ban(fence, "10.77.1.1");
      assert.equal(fence.status().entries, 1);
      assert.ok(sandbox.log.some((line) => line.includes("blocked in user space only: no XDP")));
    },
  },
];
