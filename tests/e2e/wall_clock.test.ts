// SPDX-License-Identifier: Apache-2.0
// A wall clock that is set while nobody looks at it, between a stop and a start or in the middle of a take-over: bans
// end when they were to, by the clock that counts from the boot.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { steppable } from "../harness/step_clock.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const hour = 3600;
const directions = [
  ["forth", hour],
  ["back", -hour],
] as const;
const http = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

async function scene(stack: AsyncDisposableStack) {
  const directory = stack.use(new TempDir());
  const clock = await steppable(directory);
  const { step } = clock;
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  stack.use(await startServer(network.gate, "--port", "5001"));
  const flags = ["-B", map.name, "-i", network.device, "-t", "30m", "--state", directory.file("state")];
  const start = async (more: readonly string[] = [], { env } = clock) =>
    stack.use(await RunningGate.start([...flags, ...more], { namespace: network.gate, env }));
  const knock = (from: string, ...send: readonly Uint8Array[]) =>
    probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send, waitMs: 500 });
  return { network, map, step, start, knock };
}

/** Of a ban for half an hour that was made less than a minute ago. */
async function expectHalfAnHour(gate: RunningGate, source: string): Promise<void> {
  expect((await gate.banned(source)).remainingSeconds).toBeWithin(1740, 1801);
}

describeWith("namespaces", "executable", { program: "gcc" })("a wall clock that is set", () => {
  test.each(directions)("%s between a stop and a start", async (_, seconds) => {
    await using stack = new AsyncDisposableStack();
    const { network, map, step, start, knock } = await scene(stack);
    const [stranger, byHand] = [network.clientIpv4(3), network.clientIpv4(4)];
    const first = await start(["--keep"]);
    await knock(stranger, http);
    await first.banned(stranger);
    await first.command("ban", byHand, "--for", "30m");
    await first.child.stop();
    step(seconds);
    // With the entries of the kernel, and from the file alone.
    const second = await start();
    for (const source of [stranger, byHand]) await expectHalfAnHour(second, source);
    expect((await knock(stranger)).outcome).toBe("no answer");
    second.child.signal("SIGKILL");
    await second.child.exited;
    for (const pin of map.pins()) await run(["rm", "-f", pin]);
    step(0);
    const third = await start();
    for (const source of [stranger, byHand]) await expectHalfAnHour(third, source);
    expect((await knock(stranger)).outcome).toBe("no answer");
  });

  test.each(directions)("%s in the middle of a take-over", async (_, seconds) => {
    await using stack = new AsyncDisposableStack();
    const { network, start, knock } = await scene(stack);
    const [stranger, undecided] = [network.clientIpv4(3), network.clientIpv4(5)];
    const first = await start(["--first-packet", "30s"]);
    await handsOver(first);
    await knock(stranger, http);
    await first.banned(stranger);
    const slow = probeFrom(network.client, {
      ...{ host: network.gateIpv4, port: 5000, from: undecided, waitMs: 8000 },
      ...{ send: [http], delayMs: 4000 },
    });
    await first.until("an open connection", ({ connections }) => connections.active === 1);
    // What one process writes before the step the other one reads after it.
    const later = await steppable(stack.use(new TempDir()));
    later.step(seconds);
    const next = await start(["--takeover", "--drain", "20s"], later);
    await expectHalfAnHour(next, stranger);
    expect((await knock(stranger)).outcome).toBe("no answer");
    // Banned by the one that drains.
    expect((await slow).outcome).toBe("reset");
    await waitFor("the ban of the one before", async () => (await next.ban(undecided)) !== undefined);
    await expectHalfAnHour(next, undecided);
  });
});
