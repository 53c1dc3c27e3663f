// SPDX-License-Identifier: Apache-2.0
// What `doctor` tells of the kernel, with and without privilege.
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { kernelVersion, type ProbeFinding, probeKernel } from "../../src/fences/xdp/proof/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import type { KernelCase } from "./kernel_case.ts";
import { attachFirst, attachReader, loadReader } from "./other_program.ts";
import { makeDocumentedMap, pins, runAsNobody, Sandbox, script, shell } from "./sandbox.ts";

/** include/uapi/linux/bpf.h, enum bpf_attach_type. */
const skLookup = 36;

function lines(findings: readonly ProbeFinding[], name: string): string[] {
  return findings.filter((finding) => finding.name === name).map(({ state, found }) => `${state} ${found}`);
}

export const probeCases: readonly KernelCase[] = [
  {
    name: "probe: root on this kernel is ready, and nothing is left behind",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const { device } = sandbox.network;
      const findings = await probeKernel({ native, map: sandbox.map, interfaces: [device, "lo", "nosuch0"] });
      assert.deepEqual(lines(findings, "interface"), [
        `good ${device}: free for XDP`,
        "good lo: free for XDP",
        "bad nosuch0 is not there",
      ]);
      assert.deepEqual(lines(findings, "program"), ["good the kernel takes the XDP and the tc program"]);
      assert.deepEqual(lines(findings, "privilege"), ["good CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON suffice"]);
      assert.deepEqual(lines(findings, "map"), [`good ${sandbox.path} is not there yet: ttgate makes it`]);
      for (const { state, remedy } of findings) assert.equal(remedy === null, state === "good");
      assert.deepEqual(pins(sandbox.map), []);
      assert.doesNotMatch(shell("ip", "link", "show"), /xdp/);
    },
  },
  {
    name: "probe: says who holds the interface and who reads the map",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const { device } = sandbox.network;
      makeDocumentedMap(sandbox.path);
      attachReader(sandbox, loadReader(sandbox, sandbox.path));
      const findings = await probeKernel({ native, map: sandbox.map, interfaces: [device] });
      assert.match(
        lines(findings, "interface").join(),
        /^warning .*: program "reader" \(id \d+\) is attached \(native\)/,
      );
      assert.match(lines(findings, "map").join(), /IPv4 addresses, value 4, 8 entries, read by program "reader"/);
      shell("ip", "link", "set", "dev", device, "xdp", "off");
      const fence = await sandbox.open({ map: `${sandbox.map}_own` });
      const guarded = await probeKernel({ native, map: "a.b", interfaces: [device] });
      assert.deepEqual(lines(guarded, "interface"), [`good ${device}: guarded by ttgate (native)`]);
      assert.match(lines(guarded, "map").join(), /^bad Block map "a\.b": the bpf file system takes no name with a dot/);
      fence.close(false);
    },
  },
  {
    name: "probe: names a program that may choose sockets, and is silent without one",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const probe = () => probeKernel({ native, map: sandbox.map, interfaces: [] });
      assert.deepEqual(lines(await probe(), "sockets"), []);
      const namespace = openSync("/proc/thread-self/ns/net", "r");
      const takeOff = await attachFirst(sandbox, "chooser", namespace, skLookup);
      closeSync(namespace);
      assert.match(
        lines(await probe(), "sockets").join(),
        /^warning program "chooser" \(id \d+\) may lead connections to another socket, past the gate \(sk_lookup\)$/,
      );
      takeOff();
      assert.deepEqual(lines(await probe(), "sockets"), []);
    },
  },
  {
    name: "probe: without privilege it names what is missing and does not fail",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const probed = runAsNobody("probe_main.ts", sandbox.map, sandbox.network.device);
      const findings = JSON.parse(probed) as ProbeFinding[];
      assert.deepEqual(lines(findings, "privilege"), ["bad missing: CAP_BPF, CAP_NET_ADMIN"]);
      assert.match(
        lines(findings, "program").join(),
        /^bad The kernel block is not allowed, CAP_BPF and CAP_NET_ADMIN/,
      );
      assert.match(lines(findings, "map").join(), /^bad Block map .* is closed to this user \(EACCES\)$/);
      assert.equal(lines(findings, "interface").length, 1);
    },
  },
  {
    name: "probe: CAP_BPF and CAP_NET_ADMIN are enough to block, and judging wants CAP_PERFMON by name",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const few = "+bpf,+net_admin,+dac_override";
      const limited = ["setpriv", `--bounding-set=-all,${few}`, `--inh-caps=-all,${few}`, "--"];
      const probe = (...args: readonly string[]) =>
        JSON.parse(
          shell(...limited, ...script("probe_main.ts", sandbox.map, sandbox.network.device, ...args)),
        ) as ProbeFinding[];
      const block = probe();
      assert.match(lines(block, "privilege").join(), /^good CAP_BPF, CAP_NET_ADMIN suffice; without CAP_SYS_ADMIN/);
      assert.deepEqual(
        block.filter(({ state }) => state === "bad"),
        [],
      );
      const judging = probe("judges");
      assert.deepEqual(lines(judging, "privilege"), ["bad missing: CAP_PERFMON"]);
      assert.match(
        lines(judging, "program").join(),
        /^bad (Cannot judge in the kernel, which takes CAP_PERFMON|The kernel block is not allowed, CAP_PERFMON missing): /,
      );
    },
  },
  {
    name: "probe: a bpf file system that is mounted read-only is of no use",
    async run(native) {
      using directory = new TempDir();
      await using sandbox = new Sandbox(native);
      shell("mount", "-t", "bpf", "bpf", directory.path);
      sandbox.defer(() => shell("umount", directory.path));
      const probe = () => probeKernel({ native, map: directory.file("m"), interfaces: [] });
      assert.deepEqual(lines(await probe(), "bpffs"), [`good mounted at ${directory.path}`]);
      shell("mount", "-o", "remount,ro", directory.path);
      const found = `bad mounted read-only at ${directory.path}: nothing can be pinned there`;
      assert.deepEqual(lines(await probe(), "bpffs"), [found]);
    },
  },
  {
    name: "probe: what older kernels lack",
    run() {
      assert.equal(kernelVersion("5.4.0-190-generic").state, "bad");
      assert.match(
        kernelVersion("5.10.0-32-amd64").found,
        /one by one; no XDP on bonded.*jumbo.*attached without a link/,
      );
      assert.match(kernelVersion("6.1.0-18-amd64").found, /^6\.1\.0-18-amd64: where XDP is taken, tc/);
      assert.equal(kernelVersion("6.6.0").state, "good");
      assert.equal(kernelVersion("6.18.44").state, "good");
    },
  },
];
