// SPDX-License-Identifier: Apache-2.0
// The proof by test frames: right for the real program, and red as soon as the kernel does not do what
// it is believed to do.
import assert from "node:assert/strict";
import type { LibbpfCalls } from "../../src/kernel/libbpf.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import type { KernelCase } from "./kernel_case.ts";
import { attachReader, loadReader } from "./other_program.ts";
import { prefix, Sandbox, shell } from "./sandbox.ts";

/** Overwrites four bytes of the settings map. */
function spoil(path: string, offset: number, value: number): void {
  const shown = JSON.parse(shell("bpftool", "-j", "map", "dump", "pinned", path)) as { value: string[] }[];
  const bytes = (shown[0]?.value ?? []).map((byte) => String(Number(byte)));
  bytes[offset] = String(value);
  shell("bpftool", "map", "update", "pinned", path, "key", "0", "0", "0", "0", "value", ...bytes);
}

interface Counter {
  readonly formatted: { readonly values: readonly { readonly value: { readonly packets: number } }[] };
}

/** Of all CPUs; behind what passed, which frames of the kernel's own do as well. */
function countsIn(dump: string): number[] {
  const counters = JSON.parse(dump) as readonly Counter[];
  return counters.slice(1).map(({ formatted }) => formatted.values.reduce((sum, { value }) => sum + value.packets, 0));
}

export const proofCases: readonly KernelCase[] = [
  {
    name: "proof: the live program answers right in every mode, scope and flavour, and leaves no trace",
    async run(native) {
      for (const scope of ["port", "host"] as const) {
        for (const ipv6PrefixBits of [64, 48, 128]) {
          await using sandbox = new Sandbox(native);
          if (ipv6PrefixBits === 128) {
            const geometry = ["type", "hash", "key", "4", "value", "4", "entries", "64"];
            shell("bpftool", "map", "create", sandbox.path, ...geometry, "name", "t");
          }
          if (ipv6PrefixBits === 48) attachReader(sandbox, loadReader(sandbox, undefined));
          const fence = await sandbox.open({ scope, ipv6PrefixBits });
          const { proof, droppedPackets, droppedBytes, entries, weakest } = fence.status();
          assert.deepEqual([proof?.passed, proof?.failure], [true, undefined]);
          assert.equal(weakest?.attach, ipv6PrefixBits === 48 ? "tc" : "native");
          assert.deepEqual([droppedPackets, droppedBytes, entries], [0, 0, 0]);
          assert.deepEqual([...fence.records()].flat(), []);
        }
      }
    },
  },
  {
    name: "proof: a program that several interfaces have is tried once",
    async run(native) {
      const dropped = [];
      for (const others of [[], ["lo"]]) {
        await using sandbox = new Sandbox(native);
        const fence = await sandbox.open({ interfaces: [sandbox.network.device, ...others] });
        assert.deepEqual([fence.status().places.length, fence.status().proof?.passed], [1 + others.length, true]);
        dropped.push(countsIn(shell("bpftool", "-j", "map", "dump", "pinned", `${sandbox.path}_counters`)));
      }
      assert.deepEqual(dropped[1], dropped[0]);
      assert.ok((dropped[0] ?? []).some((packets) => packets > 0));
    },
  },
  {
    name: "proof: a wrong answer is named, and gone again with its cause",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open({ interfaces: ["lo"] });
      const start = sandbox.nowMs();
      const settings = `${sandbox.path}_settings`;
      // A change of the ranges would write the settings anew: none of those of the proof is free.
      sandbox.ban(fence, "198.19.255.0/24");
      sandbox.ban(fence, "3fff:f00::/30");
      // The scope, behind ttgate's back; the next heartbeat puts it right.
      spoil(settings, 8, 1);
      fence.prove(start + 1);
      assert.equal(fence.status().proof?.passed, false);
      assert.equal(
        fence.status().proof?.failure,
        'interface "lo": IPv4 plain, to another port, source banned: dropped',
      );
      assert.ok(sandbox.log.some((line) => /^error The kernel does not block as it should: interface "lo"/.test(line)));
      assert.ok(fence.status().faults.some((fault) => /answered wrongly: interface "lo"/.test(fault)));
      // What was overwritten is put back, and tried out at once.
      fence.tick(start + 2);
      assert.equal(fence.status().proof?.passed, true);
      assert.ok(sandbox.log.some((line) => /settings of the kernel program were overwritten.*put back/.test(line)));
      // Two clocks that disagree are found out too; a minute later by this one it is tried again.
      fence.prove(start - 70_000);
      assert.match(fence.status().proof?.failure ?? "", /IPv4 plain, to the guarded port, source banned: passed$/);
      fence.tick(sandbox.nowMs());
      assert.equal(fence.status().proof?.passed, true);
      assert.ok(sandbox.log.includes("info The kernel blocks as it should again"));
    },
  },
  {
    name: "proof: a process that stands still in its midst finds nothing wrong",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      const bpf: { bpf_prog_test_run_opts: LibbpfCalls["bpf_prog_test_run_opts"] } = (await openLibraries(native)).bpf;
      const tryOut = bpf.bpf_prog_test_run_opts;
      let tries = 0;
      bpf.bpf_prog_test_run_opts = (fd, options) => {
        // As SIGSTOP, a freezer or a suspended machine make it, in the kernel's time.
        if (tries++ === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_500);
        return tryOut(fd, options);
      };
      sandbox.defer(() => {
        bpf.bpf_prog_test_run_opts = tryOut;
      });
      fence.prove(sandbox.nowMs());
      assert.deepEqual([fence.status().proof?.failure, tries > 1], [undefined, true]);
      assert.deepEqual(
        sandbox.log.filter((line) => line.startsWith("error")),
        [],
      );
    },
  },
  {
    name: "proof: another program in the place of ours is named",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      await sandbox.open({ version: "0.0.2" });
      fence.prove(sandbox.nowMs());
      assert.match(
        fence.status().proof?.failure ?? "",
        /^interface ".*": program "gate_xdp" \(id \d+\) is in the place of ttgate's program$/,
      );
    },
  },
  {
    name: "ask: the live program's own answer for an address",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      sandbox.ban(fence, "192.0.2.1");
      sandbox.ban(fence, "198.51.100.0/24");
      sandbox.ban(fence, "2001:db8:0:1::/64");
      const answers = ["192.0.2.1", "192.0.2.2", "198.51.100.77", "2001:db8:0:1::9", "2001:db8:0:2::9"];
      assert.deepEqual(
        answers.map((text) => fence.ask(prefix(text))),
        ["drop", "pass", "drop", "drop", "pass"],
      );
      assert.equal(fence.status().droppedPackets, 0);
      fence.close(true);
    },
  },
];
