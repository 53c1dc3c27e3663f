// SPDX-License-Identifier: Apache-2.0
// The wall clock steps by an hour, forth or back, as when NTP sets it after a boot: bans end when they are to, in the
// kernel and in user space, also after a restart; deadlines come on time; what is told has the new time.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../harness/child.ts";
import { BlockMap, RunningGate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { Network } from "../../harness/netns.ts";
import { probeFrom } from "../../harness/probe.ts";
import { startClient, startServer } from "../../harness/standin.ts";
import { steppable } from "../../harness/step_clock.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const hour = 3600;
const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

function secondsUntil(told: string | null | undefined, clockSeconds: number): number {
  return (new Date(told ?? 0).getTime() - Date.now()) / 1000 - clockSeconds;
}

describeWith("namespaces", "executable", { program: "gcc" })("a wall clock that steps", () => {
  test.each([
    ["forth", hour],
    ["back", -hour],
  ])("%s by an hour", async (_, seconds) => {
    await using stack = new AsyncDisposableStack();
    using directory = new TempDir();
    const { env, step } = await steppable(directory);
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const flags = ["-B", map.name, "-t", "8s", "--first-packet", "2s", "--idle", "30s", "--state", directory.path];
    const start = async () => stack.use(await RunningGate.start(flags, { namespace: network.gate, env }));
    const gate = await start();
    const address = ["--host", network.gateIpv4, "--port", "5000", "--reconnect", "1000000"];
    const client = stack.use(await startClient(network.client, ...address, "--from", network.clientIpv4(2)));
    await client.until("answers", ({ packets }) => packets > 5);
    const [soon, late] = [network.clientIpv4(3), network.clientIpv4(4)];
    const at = { host: network.gateIpv4, port: 5000, waitMs: 300 };
    await probeFrom(network.client, { ...at, from: soon, send: http });
    await gate.banned(soon);
    const bannedMs = performance.now();
    await gate.command("ban", late, "--for", "30m");
    // Both are in the state file, by the old clock.
    await sleep(800);
    const silent = probeFrom(network.client, { ...at, from: network.clientIpv4(5), waitMs: 20_000 });
    const silentMs = performance.now();
    step(seconds);
    await sleep(500);

    // The control: the process has the other time.
    const lines = gate.child.stderr.length;
    await gate.command("ban", network.clientIpv4(6), "--for", "1m");
    const said = await waitFor("a line", () => /^(\d{4}-\S+Z)/m.exec(gate.child.stderr.slice(lines))?.[1]);
    expect(Math.abs(secondsUntil(said, seconds))).toBeLessThan(10);
    expect(secondsUntil((await gate.ban(late))?.until, seconds)).toBeWithin(1700, 1801);
    expect((await silent).outcome).toBe("ended");
    expect(performance.now() - silentMs).toBeWithin(1900, 8000);
    expect((await probeFrom(network.client, { ...at, from: late })).outcome).toBe("no answer");
    const isIn = async () => (await probeFrom(network.client, { ...at, from: soon })).outcome !== "no answer";
    if (performance.now() - bannedMs < 6000) expect(await isIn()).toBe(false);
    await waitFor("the end of the short ban", isIn, 20_000);
    expect(performance.now() - bannedMs).toBeGreaterThan(7500);
    expect((await client.stop()).failures).toBe(0);
    expect((await gate.status()).connections.idleEnded).toBe(0);

    // Ends in the state file are of the wall clock: it is written anew after a step.
    gate.child.signal("SIGKILL");
    await gate.child.done();
    for (const pin of map.pins()) await run(["rm", "-f", pin]);
    const next = await start();
    expect(secondsUntil((await next.banned(late)).until, seconds)).toBeWithin(1600, 1801);
    expect(await next.ban(soon)).toBeUndefined();
  });
});
