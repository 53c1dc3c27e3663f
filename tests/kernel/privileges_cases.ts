// SPDX-License-Identifier: Apache-2.0
// Giving privileges up leaves a fence that works. In a process of its own: there is no way back.
import assert from "node:assert/strict";
import { TempDir } from "../harness/temp_dir.ts";
import type { KernelCase } from "./kernel_case.ts";
import { pins, Sandbox, script, shell } from "./sandbox.ts";

const inUse = ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"];
const works = { put: "enforced", many: ["enforced", "enforced"], dropped: true, proof: true, attach: "native" };

export const privilegesCases: readonly KernelCase[] = [
  {
    name: "privileges: root gives up every capability but three, and bans, lifts and proves",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const command = script("privileges_main.ts", sandbox.map, sandbox.network.device);
      const result = JSON.parse(shell(...command));
      assert.deepEqual(result.works, works);
      assert.deepEqual(result.privileges, { userId: 0, capabilities: inUse, otherThreads: true });
      assert.deepEqual(pins(sandbox.map), []);
    },
  },
  {
    name: "privileges: another user bans, lifts and proves, with no capability left in any other thread",
    async run(native) {
      // /sys/fs/bpf is closed to others.
      using directory = new TempDir();
      await using sandbox = new Sandbox(native);
      shell("chmod", "711", directory.path);
      const own = directory.file("bpf");
      shell("mkdir", own);
      shell("mount", "-t", "bpf", "-o", "mode=711", "bpf", own);
      sandbox.defer(() => shell("umount", own));
      shell("mkdir", `${own}/ttgate`);
      shell("chown", "nobody", `${own}/ttgate`);
      const map = `${own}/ttgate/map`;
      const result = JSON.parse(shell(...script("privileges_main.ts", map, sandbox.network.device, "nobody")));
      assert.deepEqual(result.works, works, JSON.stringify(result));
      assert.deepEqual(result.privileges, { userId: 65_534, capabilities: inUse, otherThreads: false });
      assert.deepEqual(result.log, []);
      assert.equal(shell("ls", `${own}/ttgate`), "");
      assert.doesNotMatch(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
    },
  },
  {
    name: "privileges: where the user may not remove pins, the program is taken off and detach is named",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const result = JSON.parse(shell(...script("privileges_main.ts", sandbox.map, sandbox.network.device, "nobody")));
      assert.deepEqual(result.works, works, JSON.stringify(result));
      assert.doesNotMatch(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
      assert.equal(pins(sandbox.map).length, 5);
      assert.equal(result.log.length, 5);
      assert.match(result.log.join("\n"), /EACCES: remove it with ttgate detach/);
    },
  },
  {
    name: "privileges: a user who does not exist is refused",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const result = JSON.parse(
        shell(...script("privileges_main.ts", sandbox.map, sandbox.network.device, "nosuchuser")),
      );
      assert.match(result.failed, /^User "nosuchuser": there is none of this name: useradd --system nosuchuser$/);
    },
  },
];
