// SPDX-License-Identifier: Apache-2.0
// Of several gates that the program judges some may be on trial: what that means for packets whose port nobody
// can read, which might go to any of them.
import { expect, test } from "bun:test";
import { loadSignatureTable } from "../../src/config/profile.ts";
import { embeddedObject, loadGate } from "../../src/fences/xdp/gate_program.ts";
import { Guarded } from "../../src/fences/xdp/guarded.ts";
import { type InlineGate, InlineJudge } from "../../src/fences/xdp/inline/inline_judge.ts";
import { unreadSlot } from "../../src/fences/xdp/inline/inline_layout.ts";
import { indexKey } from "../../src/fences/xdp/maps/counters.ts";
import { openMap } from "../../src/kernel/bpf_map.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";

const [dryRun, passFragments, onTrial] = [1, 4, 16];

describeWith("root")("packets without a port", () => {
  test("pass where no gate drops them: one on trial drops none", async () => {
    const libraries = await openLibraries(native);
    using programs = loadGate(libraries, await embeddedObject("inline"), {
      ...{ flavour: { kind: "own" }, ipv4Fd: undefined, own: {} },
    });
    const table = loadSignatureTable("tapetrack");
    const gate = (port: number, judging: InlineGate["judging"], passes: InlineGate["passes"] = []) => {
      return { port, table, bounce: false, judging, passes, banMs: 60_000 };
    };
    const judgeBy = (...gates: readonly InlineGate[]) => {
      const judge = new InlineJudge(libraries, programs, new Guarded([5000, 6000], "port"), {
        ...{ gates, ipv6PrefixBits: 64 },
      });
      judge.begin();
      return judge;
    };
    const settings = openMap(libraries, programs.mapFd("ttgate_inline"));
    const flags = () => {
      const value = settings.lookup(indexKey(unreadSlot));
      return value === undefined ? undefined : new DataView(value.buffer, value.byteOffset).getUint32(8, true);
    };
    const judge = judgeBy(gate(5000, "trial"), gate(6000, "enforce"));
    expect(flags()).toBe(0);
    judge.change(6000, { judging: "trial" });
    expect(flags()).toBe(dryRun | onTrial);
    judge.change(5000, { judging: "enforce" });
    expect(flags()).toBe(0);
    judgeBy(gate(5000, "trial"), gate(6000, "enforce", ["fragments"]));
    expect(flags()).toBe(passFragments);
  });
});
