// SPDX-License-Identifier: Apache-2.0
// Which interfaces are guarded because connections came by them.
import { expect, test } from "bun:test";
import type { Config } from "../../src/config/options.ts";
import type { FenceStatus } from "../../src/core/bans/fence.ts";
import { GuardedInterfaces } from "../../src/daemon/guarded_interfaces.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";
import { Undo } from "../harness/undo.ts";

const gates = [{ mode: "proxy", listen: { host: "127.0.0.1", port: 5000 } }];

describeWith("namespaces")("an interface by which a banned source came", () => {
  test.each<[string, readonly string[], string | undefined, boolean]>([
    ["", [], undefined, true],
    [", but not where others were named", ["lo"], undefined, false],
    [", but not by a program that is not ttgate's", [], 'program "reader" (id 7)', false],
  ])("is guarded%s", (_when, named, managedBy, isGuarded) => {
    using undo = new Undo();
    const name = "ttgcame0";
    ip("link", "add", name, "type", "veth", "peer", "name", "ttgcame1");
    undo.push(() => void ip("link", "del", name));
    const interfaces = new GuardedInterfaces({
      config: () => ({ interface: named, gates }) as unknown as Config,
      libc: openLibc(native),
      fence: () => ({ places: [], managedBy }) as unknown as FenceStatus,
      networkVersion: () => 0,
    });
    expect(interfaces.cameBy("ttg-none")).toBe(false);
    expect(interfaces.cameBy(name)).toBe(isGuarded);
    expect(interfaces.now().includes(name)).toBe(isGuarded || named.includes(name));
  });
});
