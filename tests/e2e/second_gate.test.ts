// SPDX-License-Identifier: Apache-2.0
// A second gate started by mistake, and a start that fails late: the block that stands goes on.

import { expect, setDefaultTimeout, test } from "bun:test";
import { type Completed, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";

setDefaultTimeout(30_000);

/** A gate with one ban, and what tells whether that still blocks. */
async function scene(stack: AsyncDisposableStack) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const options = ["-B", map.name, "-i", network.device];
  const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
  const from = network.clientIpv4(3);
  expect(await gate.command("ban", from)).toMatchObject({ code: 0 });
  const knock = () => probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 });
  const second = (...args: readonly string[]): Promise<Completed> =>
    run(ttgate([...options, "-s", "off", ...args]), { namespace: network.gate });
  const stands = async () => {
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    expect((await knock()).outcome).toBe("no answer");
  };
  return { network, map, gate, second, stands };
}

describeWith("namespaces", "executable")("the block that stands goes on", () => {
  test("when a second gate finds the port taken", async () => {
    await using stack = new AsyncDisposableStack();
    const { second, stands } = await scene(stack);
    const { code, stderr } = await second();
    expect(code).toBe(3);
    expect(stderr).toMatch(/^ttgate: Cannot listen on "\[::\]:5000": the port is in use; .*\n$/);
    await stands();
  });

  test("when a second gate on another port names the same map", async () => {
    await using stack = new AsyncDisposableStack();
    const { gate, map, second, stands } = await scene(stack);
    const { code, stderr } = await second("-l", "6000");
    expect(code).toBe(2);
    expect(stderr).toBe(
      `ttgate: Block map "${map.name}": the gate with pid ${gate.child.pid} is using it: stop it first, or name another map\n`,
    );
    await stands();
  });

  test("when detach is asked to take it away from the gate that runs", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, map, stands } = await scene(stack);
    const { code, stderr } = await run(ttgate(["detach", map.name]), { namespace: network.gate });
    expect(code).toBe(3);
    expect(stderr).toContain(`the gate with pid ${gate.child.pid} is using it`);
    await stands();
  });

  test("when a start after a crash fails at its last step", async () => {
    await using stack = new AsyncDisposableStack();
    const { gate, second, stands } = await scene(stack);
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    const { code, stderr } = await second("--user", "no-such-user");
    expect(code).toBe(2);
    expect(stderr).toContain('User "no-such-user": there is none of this name');
    await stands();
  });
});
