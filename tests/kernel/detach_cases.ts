// SPDX-License-Identifier: Apache-2.0
// `detach` takes away what is ttgate's and only that, whatever state it finds.
import assert from "node:assert/strict";
import { detachFence } from "../../src/fences/xdp/detach.ts";
import type { KernelCase } from "./kernel_case.ts";
import { loadReader } from "./other_program.ts";
import { makeDocumentedMap, pins, Sandbox, shell } from "./sandbox.ts";

export const detachCases: readonly KernelCase[] = [
  {
    name: "detach removes links and maps of a daemon that is gone",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open({ interfaces: [sandbox.network.device, "lo"] });
      fence.close(true);
      assert.match(shell("ip", "link", "show"), /xdp/);
      const { removed, left } = await detachFence(native, sandbox.map);
      assert.deepEqual(left, []);
      assert.deepEqual(removed.map(({ kind, path }) => `${kind} ${path.replace(sandbox.path, "")}`).sort(), [
        "link _link_1",
        "link _link_2",
        "map ",
        "map _cidr",
        "map _counters",
        "map _settings",
      ]);
      assert.deepEqual(pins(sandbox.map), []);
      assert.doesNotMatch(shell("ip", "link", "show"), /xdp/);
      assert.deepEqual((await detachFence(native, sandbox.map)).removed, []);
    },
  },
  {
    name: "detach leaves the documented map, takes out what is over, keeps what is not ttgate's",
    async run(native) {
      await using sandbox = new Sandbox(native);
      makeDocumentedMap(sandbox.path);
      const fence = await sandbox.open();
      fence.close(true);
      for (const [key, value] of [
        ["1", ["9", "0", "0", "0"]],
        ["2", ["0", "0", "0", "0"]],
        ["3", ["255", "255", "255", "1"]],
      ] as const) {
        shell("bpftool", "map", "update", "pinned", sandbox.path, "key", "10", "0", "0", key, "value", ...value);
      }
      // Broken on purpose: one pin is gone, one is a program, one is somebody's map.
      shell("rm", `${sandbox.path}_cidr`);
      shell("rm", `${sandbox.path}_v6`);
      shell("mv", loadReader(sandbox, undefined), `${sandbox.path}_cidr`);
      const geometry = ["type", "array", "key", "4", "value", "4", "entries", "1", "name", "theirs"];
      shell("bpftool", "map", "create", `${sandbox.path}_v6`, ...geometry);
      shell("bpftool", "map", "create", `${sandbox.path}_link_x`, ...geometry);
      shell("bpftool", "map", "create", `${sandbox.path}_link_77`, ...geometry);
      const { removed, left, endedEntries } = await detachFence(native, sandbox.map);
      assert.deepEqual(removed.map(({ path }) => path.replace(sandbox.path, "")).sort(), [
        "_counters",
        "_link_2",
        "_settings",
      ]);
      assert.deepEqual(left.map(({ path, why }) => `${path.replace(sandbox.path, "")} ${why}`).sort(), [
        "_cidr is a program, not a map",
        "_link_77 is a map, not a link",
        '_v6 is the map "theirs", not one of ttgate',
      ]);
      assert.equal(endedEntries, 1);
      assert.equal(JSON.parse(shell("bpftool", "-j", "map", "dump", "pinned", sandbox.path)).length, 2);
      assert.deepEqual(
        pins(sandbox.map)
          .map((name) => name.replace(sandbox.map, ""))
          .sort(),
        ["", "_cidr", "_link_77", "_link_x", "_v6"],
      );
      assert.doesNotMatch(shell("ip", "link", "show"), /xdp/);
    },
  },
  {
    name: "detach removes a set of another layout version, after which a start works",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const first = await sandbox.open();
      first.close(true);
      const bytes = ["0x74", "0x67", "0x74", "0x74", "9", "0", "0", "0", ...Array.from({ length: 48 }, () => "0")];
      shell(
        "bpftool",
        "map",
        "update",
        "pinned",
        `${sandbox.path}_settings`,
        "key",
        "0",
        "0",
        "0",
        "0",
        "value",
        ...bytes,
      );
      await assert.rejects(sandbox.open(), /layout is version 9/);
      assert.deepEqual((await detachFence(native, sandbox.map)).left, []);
      const second = await sandbox.open();
      assert.equal(second.status().proof?.passed, true);
      second.close(false);
      assert.deepEqual(pins(sandbox.map), []);
    },
  },
];
