// SPDX-License-Identifier: Apache-2.0
// What is said of rules that lead connections past a gate, while tools that list them fail.
import { expect } from "bun:test";
import { spawnSync } from "node:child_process";
import { Diversions } from "../../src/daemon/diversions.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { FilterTools } from "../harness/filter_tools.ts";
import { testWith } from "../harness/needs.ts";

testWith("apart", { program: "nft" })(
  "a rule holds while its tool fails, also where another one always does",
  async () => {
    const nft = Bun.which("nft") ?? "";
    using tools = new FilterTools();
    tools.fail("nft");
    tools.answer("iptables-save", "-A PREROUTING -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001");
    using diversions = new Diversions({
      ...{ libc: openLibc(native), log: () => {} },
      listens: () => [{ host: "0.0.0.0", port: 5000 }],
      judged: () => [],
    });
    let nowMs = 0;
    const tick = () => {
      nowMs += 3_600_000;
      return diversions.tick(nowMs);
    };
    await tick();
    expect(diversions.reasons).toHaveLength(1);
    tools.fail("iptables-save");
    for (const command of ["add", "delete"]) {
      expect(spawnSync(nft, [command, "table", "ip", "changed"]).status).toBe(0);
      await tick();
      expect(diversions.reasons).toHaveLength(1);
    }
    tools.answer("iptables-save", "");
    await tick();
    expect(diversions.reasons).toEqual([]);
  },
);
