// SPDX-License-Identifier: Apache-2.0
// A gate that was killed, and started again without its map, or by another one: the program of the run before goes on blocking, whoever is
// lifted. That is said, with what to type; a gate beside this one that lives is not spoken of, also while it
// stands still.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** A sign of life gets stale, and is looked for again. */
const lookedMs = 20_000;

async function notes(gate: RunningGate): Promise<readonly string[]> {
  return ((await (await gate.fetch("/readyz")).json()) as { notes?: readonly string[] }).notes ?? [];
}

describeWith("namespaces", "executable")("a program that is left behind", () => {
  test.each([
    ["with another map", (_: BlockMap, other: BlockMap) => ["-B", other.name]],
    ["in a dry run", (map: BlockMap) => ["-B", map.name, "--dry-run"]],
  ] as const)("is told of by a start %s, and taken away as it says", async (_, flags) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const [map, other, beside] = [new BlockMap(), new BlockMap(), new BlockMap()].map((one) => stack.use(one));
    if (map === undefined || other === undefined || beside === undefined) throw new Error("No maps");
    stack.use(await startServer(network.gate, "--port", "5001"));
    const start = async (...more: readonly string[]) =>
      stack.use(await RunningGate.start(["-i", network.device, ...more], { namespace: network.gate }));
    const banned = network.clientIpv4(3);
    const knock = () =>
      probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: banned, send: [], waitMs: 500 });
    const first = await start("-B", map.name);
    await first.command("ban", banned, "--for", "1h");
    first.child.signal("SIGKILL");
    await first.child.exited;
    const halted = await start("-l", "6000", "-B", beside.name);
    halted.child.signal("SIGSTOP");
    stack.defer(() => halted.child.signal("SIGCONT"));
    const second = await start(...flags(map, other));
    expect((await knock()).outcome).toBe("no answer");
    const found = await waitFor("a note", async () => (await notes(second))[0], lookedMs);
    expect(found).toContain(`The program of block map "${map.name}" on ${network.device} is of a gate that is gone`);
    expect(await notes(second)).toEqual([found]);
    expect(second.child.stderr).toContain(found);
    const remedy = /"ttgate (detach \S+)"/.exec(found)?.[1]?.split(" ") ?? [];
    expect(remedy).toEqual(["detach", map.name]);
    await second.command("lift", banned);
    expect((await knock()).outcome).toBe("no answer");
    // Within the first minute it might be another container's.
    expect(await run(ttgate([...remedy, "--force"]), { namespace: network.gate })).toMatchObject({ code: 0 });
    await waitFor("no note", async () => (await notes(second)).length === 0, lookedMs);
    expect(["open", "reset"]).toContain((await knock()).outcome);
  });
});
