// SPDX-License-Identifier: Apache-2.0
// What cannot work is refused before anything is touched, with the value, what was found and a remedy.
import assert from "node:assert/strict";
import { Failure } from "../../src/failure.ts";
import type { XdpFenceOptions } from "../../src/fences/xdp/options.ts";
import type { Native } from "../../src/runtime/types.ts";
import { TempDir } from "../harness/temp_dir.ts";
import type { KernelCase } from "./kernel_case.ts";
import { loadReader } from "./other_program.ts";
import { bpffs, pins, runAsNobody, Sandbox, script, shell } from "./sandbox.ts";

/** Refused as a configuration error, and nothing is left behind. */
async function refused(sandbox: Sandbox, changes: Partial<XdpFenceOptions>, expected: RegExp): Promise<void> {
  const before = pins(sandbox.map);
  await assert.rejects(sandbox.open(changes), (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.exitCode, 2);
    assert.match(error.message, expected);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  assert.deepEqual(pins(sandbox.map), before);
  assert.doesNotMatch(shell("ip", "link", "show", "dev", sandbox.network.device), /xdp/);
}

function create(path: string, ...geometry: readonly string[]): void {
  shell("bpftool", "map", "create", path, ...geometry, "name", "t");
}

function refusesGeometry(what: string, geometry: string, expected: RegExp): KernelCase {
  return {
    name: `refused: a map with ${what}`,
    async run(native: Native) {
      await using sandbox = new Sandbox(native);
      create(sandbox.path, ...geometry.split(" "));
      await refused(sandbox, {}, expected);
    },
  };
}

export const refusalCases: readonly KernelCase[] = [
  refusesGeometry(
    "a value of 1 byte",
    "type hash key 4 value 1 entries 8",
    /found hash with key 4 and value 1, expected value 4 \(seconds since boot\) or 8/,
  ),
  refusesGeometry("a value of 3 bytes", "type hash key 4 value 3 entries 8", /key 4 and value 3, expected value 4/),
  refusesGeometry(
    "a value of 4096 bytes",
    "type lru_hash key 4 value 4096 entries 8",
    /found lru_hash with key 4 and value 4096, expected value 4/,
  ),
  refusesGeometry("another type", "type array key 4 value 4 entries 8", /found array .* expected a hash or lru_hash/),
  refusesGeometry(
    "a trie's geometry",
    "type lpm_trie key 8 value 4 entries 8 flags 1",
    /found lpm_trie with key 8 and value 4, expected a hash/,
  ),
  refusesGeometry("another key", "type hash key 8 value 4 entries 8", /found hash with key 8 .* expected key 4/),
  refusesGeometry(
    "another layout's value",
    "type hash key 16 value 32 entries 8",
    /key 16 and value 32, expected value 40 \(layout 1\): .*ttgate detach -B/,
  ),
  refusesGeometry(
    "a flag that denies it to programs",
    "type hash key 4 value 4 entries 8 flags 256",
    /no program may read it \(BPF_F_WRONLY_PROG\): name another map/,
  ),
  refusesGeometry(
    "ttgate's layout that programs may not write",
    "type hash key 16 value 40 entries 8 flags 129",
    /no program may count in it \(BPF_F_RDONLY_PROG\): name another map/,
  ),
  {
    name: "refused: a frozen map",
    async run(native) {
      await using sandbox = new Sandbox(native);
      create(sandbox.path, "type", "hash", "key", "4", "value", "4", "entries", "8");
      shell("bpftool", "map", "freeze", "pinned", sandbox.path);
      await refused(sandbox, {}, /is frozen, no entry can be written: name another map/);
    },
  },
  {
    name: "refused: names that can be no map",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const { map } = sandbox;
      await refused(sandbox, { map: "" }, /^Block map "": empty/);
      await refused(sandbox, { map: "a.b" }, /^Block map "a\.b": the bpf file system takes no name with a dot/);
      await refused(sandbox, { map: "dir/map" }, /relative path: write "\/sys\/fs\/bpf\/dir\/map"/);
      await refused(sandbox, { map: "x".repeat(250) }, /longer than 239 bytes/);
      await refused(sandbox, { map: "id:0" }, /^Block map "id:0": not an id/);
      await refused(sandbox, { map: "id:x" }, /not an id/);
      await refused(sandbox, { map: "id:4294967295" }, /no map has this id.*ENOENT/);
      await refused(
        sandbox,
        { map: `/tmp/${map}` },
        /\/tmp is not on a bpf file system: use a path under \/sys\/fs\/bpf/,
      );
      await refused(sandbox, { map: `/nowhere/${map}` }, /there is no directory \/nowhere: make it/);
      await refused(
        sandbox,
        { map: `${bpffs}/${map}_d/x` },
        /there is no directory \/sys\/fs\/bpf\/.*: make it with mkdir -p/,
      );
      await refused(sandbox, { map: "/" }, /not a map's path/);
    },
  },
  {
    name: "refused: a pin of something else, a directory, a sibling of another geometry",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const reader = loadReader(sandbox, undefined);
      await refused(sandbox, { map: reader }, /is a pinned program, not a map: name another path/);
      shell("mkdir", `${sandbox.path}_dir`);
      await refused(sandbox, { map: `${sandbox.map}_dir` }, /cannot be opened \(E[A-Z]+\): /);
      create(`${sandbox.path}_cidr`, "type", "hash", "key", "4", "value", "4", "entries", "8");
      await refused(
        sandbox,
        {},
        /_cidr": found hash with key 4 and value 4, expected lpm_trie with key 20 and value 40: remove it with rm/,
      );
      shell("rm", `${sandbox.path}_cidr`);
      shell("mv", reader, `${sandbox.path}_settings`);
      await refused(sandbox, {}, /_settings": is a program, not the map ttgate_settings/);
    },
  },
  {
    name: "refused: a link's name that is taken by something else",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const reader = loadReader(sandbox, undefined);
      shell("mv", reader, `${sandbox.path}_link_2`);
      await refused(sandbox, {}, /_link_2": is a program, not a link of ttgate: remove it with rm/);
      assert.deepEqual(pins(sandbox.map), [`${sandbox.map}_link_2`]);
    },
  },
  {
    name: "refused: another layout version, with the command that removes it",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const fence = await sandbox.open();
      fence.close(true);
      const settings = `${sandbox.path}_settings`;
      const bytes = ["0x74", "0x67", "0x74", "0x74", "2", "0", "0", "0", ...Array.from({ length: 48 }, () => "0")];
      shell("bpftool", "map", "update", "pinned", settings, "key", "0", "0", "0", "0", "value", ...bytes);
      const { map } = sandbox;
      await assert.rejects(sandbox.open(), (error) => {
        assert.ok(error instanceof Failure);
        assert.match(
          error.message,
          new RegExp(`layout is version 2, this ttgate knows version 1.*ttgate detach -B .*${map}`),
        );
        return true;
      });
      assert.equal(pins(sandbox.map).length, 5);
    },
  },
  {
    name: "refused: too many ports",
    async run(native) {
      await using sandbox = new Sandbox(native);
      await refused(sandbox, { ports: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, /guards 8 ports, got 9/);
    },
  },
  {
    name: "refused: a bpf file system that is mounted read-only",
    async run(native) {
      using directory = new TempDir();
      await using sandbox = new Sandbox(native);
      shell("mount", "-t", "bpf", "bpf", directory.path);
      sandbox.defer(() => shell("umount", directory.path));
      shell("mount", "-o", "remount,ro", directory.path);
      await refused(sandbox, { map: directory.file("m") }, /mounted read-only: run mount -o remount,rw/);
    },
  },
  {
    name: "refused: without privilege, with the capabilities that it takes",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const open = script("open_main.ts", sandbox.map, sandbox.network.device);
      const without = shell("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", ...open);
      assert.deepEqual(JSON.parse(without), {
        exitCode: 2,
        message:
          "The kernel block is not allowed, CAP_BPF and CAP_NET_ADMIN missing: run as root, or add CAP_BPF CAP_NET_ADMIN to AmbientCapabilities= in the unit, or run without -B",
      });
      const other = runAsNobody("open_main.ts", sandbox.map, sandbox.network.device);
      const { exitCode, message } = JSON.parse(other) as { readonly exitCode: number; readonly message: string };
      assert.equal(exitCode, 2);
      assert.match(message, /^Block map ".*": \/sys\/fs\/bpf is closed to this user \(EACCES\): run as root/);
      assert.deepEqual(pins(sandbox.map), []);
    },
  },
];
