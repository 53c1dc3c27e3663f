// SPDX-License-Identifier: Apache-2.0
// A new process takes over from the one that runs: port, bans, kernel objects. When it fails, wherever that is, the
// one that runs goes on as if nothing had been.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { takeoverForm } from "../../src/daemon/takeover/channel.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { listenForStreams, sendStream } from "../harness/stream.ts";
import { handsOver, takeoverPath } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const form = String(takeoverForm);
const http = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
const wouldBe = join(import.meta.dirname, "../harness/successor_main.ts");

async function scene(stack: AsyncDisposableStack, ...more: readonly string[]) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const directory = stack.use(new TempDir());
  stack.use(await startServer(network.gate, "--port", "5001"));
  const options = ["-B", map.name, "-i", network.device, ...more];
  const start = async (...others: readonly string[]) =>
    stack.use(await RunningGate.start([...options, ...others], { namespace: network.gate }));
  const gate = await start();
  await handsOver(gate);
  const friend = async (...args: readonly string[]) =>
    stack.use(await startClient(network.client, "--host", network.gateIpv4, "--port", "5000", ...args));
  const knock = (from: string, ...send: readonly Uint8Array[]) =>
    probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send, waitMs: 500 });
  const attempt = (...args: readonly string[]) =>
    new Child(ttgate([...options, "-s", "off", "--takeover", ...args]), { namespace: network.gate });
  return { network, map, directory, options, start, gate, friend, knock, attempt };
}

describeWith("namespaces", "executable")("a new process takes over", () => {
  test("listener, bans, kernel objects; relays of the one before end by themselves", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, start, friend, knock } = await scene(stack);
    const [stranger, banned] = [network.clientIpv4(3), network.clientIpv4(4)];
    await knock(stranger, http);
    const before = await gate.banned(stranger);
    await gate.command("ban", banned, "--for", "ever");
    const old = await friend("--rate", "50", "--reconnect", "100000");
    await old.until("traffic", ({ packets }) => packets > 5);
    const [program] = xdpPrograms(network.gate, network.device);
    expect(statSync(takeoverPath(gate)).mode & 0o777).toBe(0o600);

    const next = await start("--takeover", "--drain", "60s");
    expect(await next.ban(stranger)).toMatchObject({ by: "sniffer", protocol: "http", evidence: before.evidence });
    expect((await next.ban(banned))?.remainingSeconds).toBe(null);
    const programs = xdpPrograms(network.gate, network.device);
    expect(programs).toHaveLength(1);
    expect(programs).not.toEqual([program]);
    for (const from of [stranger, banned]) expect((await knock(from)).outcome).toBe("no answer");
    // A command finds the new one, though the old one is still there.
    expect((await run(ttgate(["status"]), { namespace: network.gate })).stdout).toContain(String(next.child.pid));
    const fresh = await friend("--rate", "50");
    await fresh.until("traffic", ({ packets }) => packets > 5);
    await next.until("its own relay only", ({ connections }) => connections.active === 1);
    const { packets } = await old.until("a report", () => true);
    expect(await old.until("more", (report) => report.packets > packets)).toMatchObject({ failures: 0 });

    expect((await old.stop()).failures).toBe(0);
    expect(await gate.child.done(8000)).toMatchObject({ code: 0 });
    await gate.child.said(`Handed over to pid ${next.child.pid}: 1 connections go on for 60 s at most`);
    expect(existsSync(takeoverPath(gate))).toBe(false);
    await sleep(600);
    const { kernel } = await next.status();
    expect(kernel).toMatchObject({ attach: "native", failed: 0 });
    expect((await next.fetch("/readyz")).status).toBe(200);
    for (const from of [stranger, banned]) expect((await knock(from)).outcome).toBe("no answer");
  });

  test("connections of the one before are cut when the time for them is over", async () => {
    await using stack = new AsyncDisposableStack();
    const { gate, start, friend } = await scene(stack);
    const old = await friend("--rate", "50", "--reconnect", "100000");
    await old.until("traffic", ({ packets }) => packets > 5);
    const next = await start("--takeover", "--drain", "1s");
    expect(await gate.child.done(8000)).toMatchObject({ code: 0 });
    await gate.child.said(`Handed over to pid ${next.child.pid}: 1 connections go on for 1 s at most`);
    await next.until("its next connection", ({ connections }) => connections.active === 1);
  });

  test("what one bans while the other drains holds for both", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, start, friend } = await scene(stack);
    const source = network.clientIpv4(6);
    const victim = await friend("--rate", "50", "--from", source);
    await victim.until("traffic", ({ packets }) => packets > 5);
    const undecided = probeFrom(network.client, {
      ...{ host: network.gateIpv4, port: 5000, from: network.clientIpv4(5), waitMs: 4000 },
      ...{ send: [http], delayMs: 2000 },
    });
    await gate.until("both", ({ connections }) => connections.active === 2);
    const next = await start("--takeover", "--drain", "20s");
    await next.command("ban", source);
    // The old one's last relay is cut, its last undecided client banned by both: nothing is left to wait for.
    expect((await undecided).outcome).toBe("reset");
    expect(await next.banned(network.clientIpv4(5))).toMatchObject({ by: "sniffer", protocol: "http" });
    expect(await gate.child.done(5000)).toMatchObject({ code: 0 });
  });

  test.each([
    ["a configuration that is wrong", ["--timeout", "soon"], 2, "Invalid --timeout"],
    ["a profile that is not there", ["-p", "/nonexistent.toml"], 2, "nonexistent"],
    ["a status address that is taken", ["-s", "127.0.0.1:5001"], 3, "Cannot listen on"],
    ["a user who does not exist", ["--user", "no-such-user"], 2, "no-such-user"],
    ["another mode", ["--mode", "inline"], 3, "runs with --mode proxy"],
    ["another map", ["-B", "ttg_another"], 3, "blocks by the map"],
  ])("fails with %s, and the one before goes on", async (_, args, code, said) => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, friend, knock, attempt } = await scene(stack);
    const banned = network.clientIpv4(4);
    await gate.command("ban", banned);
    const client = await friend("--rate", "50", "--reconnect", "1");
    await client.until("traffic", ({ packets }) => packets > 5);
    const [program] = xdpPrograms(network.gate, network.device);
    await using child = attempt(...args);
    const ended = await child.done(20_000);
    expect({ code: ended.code, said: ended.stderr.includes(said) || ended.stderr }).toEqual({ code, said: true });
    await sleep(700);
    // It is found by its commands as before.
    expect((await run(ttgate(["status"]), { namespace: network.gate })).stdout).toContain(String(gate.child.pid));
    expect(xdpPrograms(network.gate, network.device)).toEqual([program ?? 0]);
    expect((await knock(banned)).outcome).toBe("no answer");
    await knock(network.clientIpv4(5), http);
    await gate.banned(network.clientIpv4(5));
    expect(await (await gate.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
    expect((await client.stop()).failures).toBe(0);
  });

  test("killed wherever it is, and the one before goes on", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate, friend, knock, attempt } = await scene(stack, "--scope", "host");
    const banned = network.clientIpv4(4);
    expect(await gate.command("ban", banned)).toMatchObject({ code: 0 });
    const listener = stack.use(await listenForStreams(network.gate, network.gateIpv4, 7000));
    const stream = stack.use(await sendStream(network.client, banned, network.gateIpv4, 7000));
    const client = await friend("--rate", "50", "--reconnect", "1");
    await client.until("traffic", ({ packets }) => packets > 5);
    const [program] = xdpPrograms(network.gate, network.device);
    const inKernel = ["program loaded", "program proven"].map((step) => `kernel ${step}`);
    const steps = ["maps pinned", "settings written", `interface ${network.device} attached`, ...inKernel];
    for (const step of ["offer", "go", ...steps, "ready", "yours"]) {
      const argv = [process.execPath, wouldBe, takeoverPath(gate), "ready", form, map.name, network.device, step];
      await using child = new Child(argv, { namespace: network.gate });
      expect({ step, ...(await child.done()) }).toMatchObject({ step, signal: "SIGKILL" });
      await gate.child.said(new RegExp(`Take-over by pid ${child.pid} failed: it ended; this gate goes on`));
      expect(xdpPrograms(network.gate, network.device)).toEqual([program ?? 0]);
      expect(await (await gate.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
    }
    expect(gate.child.stderr).not.toContain("Cannot go on as before");
    expect((await gate.status()).kernel).toMatchObject({ failed: 0 });
    expect((await client.stop()).failures).toBe(0);
    expect((await knock(banned)).outcome).toBe("no answer");
    // The executable, at any time: it may even have taken over.
    for (let delayMs = 40; delayMs < 400; delayMs += 40) {
      await using child = attempt();
      await sleep(delayMs);
      child.signal("SIGKILL");
      await child.exited;
      await sleep(100);
    }
    const { sent } = await stream.stop();
    expect(sent).toBeGreaterThan(500);
    // Not one of them in all that time.
    expect(await listener.stop()).toEqual({ datagrams: {}, connections: {} });
  });

  test.each(["ready", "end"] as const)("hangs or ends (%s), and the one before goes on", async (until) => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate, friend, knock } = await scene(stack);
    const client = await friend("--rate", "50", "--reconnect", "1");
    await client.until("traffic", ({ packets }) => packets > 5);
    const argv = [process.execPath, wouldBe, takeoverPath(gate), until, form, map.name];
    await using child = new Child(argv, { namespace: network.gate });
    await child.said(until === "ready" ? /yours/ : /go/);
    const ended = await child.done(10_000);
    // One that hangs with everything in its hands is ended: it would go on where it stopped.
    expect(ended).toMatchObject(until === "ready" ? { signal: "SIGKILL" } : { code: 0 });
    expect(ended.stdout).toContain("offer of 1 listeners, 2 descriptors");
    await sleep(500);
    await gate.child.said(/Take-over by pid \d+ failed: .*; this gate goes on/);
    await knock(network.clientIpv4(5), http);
    await gate.banned(network.clientIpv4(5));
    expect((await client.stop()).failures).toBe(0);
    expect(await (await gate.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
  });

  test("of a form that the other one does not know is refused", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await scene(stack);
    const argv = [process.execPath, wouldBe, takeoverPath(gate), "open", "99"];
    const { stdout } = await run(argv, { namespace: network.gate });
    expect(stdout).toMatch(new RegExp(`hands over by form ${form}, not 99: restart instead`));
  });

  test("where no gate runs is refused, and under Deno", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const args = ["--takeover", "-c", "/dev/null"];
    const { code, stderr } = await run(ttgate(args), { namespace: network.gate });
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: "ttgate: Cannot take over: no gate runs here: start without --takeover\n",
    });
    const deno = await run(ttgate(args, "deno"), { namespace: network.gate });
    expect(deno.stderr).toContain("Cannot take over: deno accepts nothing on a socket of another process");
  });

  test("from a user who has given root up, and back when it fails", async () => {
    await using stack = new AsyncDisposableStack();
    using state = new TempDir();
    const { network, gate, start, knock, attempt } = await scene(stack, "--user", "nobody", "--state", state.path);
    const banned = network.clientIpv4(4);
    await gate.command("ban", banned);
    await using child = attempt("-s", "127.0.0.1:5001");
    expect(await child.done()).toMatchObject({ code: 3 });
    await waitFor("the one before", () => gate.child.stderr.includes("this gate goes on"));
    expect(gate.child.stderr).not.toContain("Cannot go on as before");
    expect(await (await gate.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
    const next = await start("--takeover");
    expect(await gate.child.done()).toMatchObject({ code: 0 });
    expect((await knock(banned)).outcome).toBe("no answer");
    await knock(network.clientIpv4(5), http);
    await next.banned(network.clientIpv4(5));
    expect(await (await next.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
  });

  test("with its state directory, which has one writer at a time", async () => {
    await using stack = new AsyncDisposableStack();
    using state = new TempDir();
    const { network, gate, start } = await scene(stack, "--state", state.path);
    await gate.command("ban", network.clientIpv4(4), "--for", "ever");
    const next = await start("--takeover", "--drain", "1s");
    await next.command("ban", network.clientIpv4(5), "--for", "ever");
    expect(await gate.child.done(5000)).toMatchObject({ code: 0 });
    await sleep(600);
    next.child.signal("SIGKILL");
    await next.child.exited;
    const third = await start();
    expect((await third.bans()).map(({ source }) => source).sort()).toEqual(
      [network.clientIpv4(4), network.clientIpv4(5)].sort(),
    );
  });
});
