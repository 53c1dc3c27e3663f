// SPDX-License-Identifier: Apache-2.0
// A start that fails leaves the host as it was, whichever step it fails after.

import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(60_000);

const script = join(import.meta.dirname, "start_main.ts");

interface Outcome {
  readonly steps: readonly string[];
  readonly failure: string | null;
  readonly isFree: boolean;
}

describeWith("namespaces")("a start", () => {
  test.each(["proxy", "inline"] as const)("in %s mode that fails after any step leaves nothing", async (mode) => {
    using network = new Network();
    using directory = new TempDir();
    const runDirectory = directory.file("run");
    const attempt = async (failAfter: number) => {
      using map = new BlockMap();
      const status = directory.file("status");
      const options = ["-B", map.name, "-i", network.device, "-s", `unix:${status}`, "--mode", mode];
      const { stdout, stderr } = await run([process.execPath, script, String(failAfter), "--", ...options], {
        namespace: network.gate,
        env: { XDG_RUNTIME_DIR: runDirectory },
        timeoutMs: 30_000,
      });
      const left = {
        pins: map.pins(),
        programs: xdpPrograms(network.gate, network.device),
        socket: existsSync(status),
      };
      if (stdout === "") throw new Error(`Said nothing: ${stderr}`);
      return { ...(JSON.parse(stdout) as Outcome), left };
    };
    const nothing = { pins: [], programs: [], socket: false };
    const whole = await attempt(0);
    expect(whole).toMatchObject({ failure: null, isFree: true, left: nothing });
    expect(whole.steps.length).toBeGreaterThan(9);
    for (let number = 1; number <= whole.steps.length; number++) {
      const { steps, failure, isFree, left } = await attempt(number);
      const step = whole.steps[number - 1];
      expect({ step, last: steps.at(-1), failure, isFree, left }).toEqual({
        ...{ step, last: step ?? "", failure: "injected", isFree: true, left: nothing },
      });
    }
  });
});
