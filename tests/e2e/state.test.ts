// SPDX-License-Identifier: Apache-2.0
// Bans outlive a deliberate stop, a crash and a restart, with who asked for them and what was seen.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

setDefaultTimeout(60_000);

async function scene(stack: AsyncDisposableStack) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const state = stack.use(new TempDir());
  stack.use(await startServer(network.gate, "--port", "5001"));
  const options = ["-B", map.name, "-i", network.device, "--state", state.path];
  const start = async (...more: readonly string[]) =>
    stack.use(await RunningGate.start([...options, ...more], { namespace: network.gate }));
  const visit = (from: string, ...send: readonly string[]) =>
    probeFrom(network.client, {
      ...{ host: network.gateIpv4, port: 5000, from, waitMs: 500 },
      send: send.map((text) => new TextEncoder().encode(text)),
    });
  return { network, map, state, options, start, visit };
}

describeWith("namespaces", "executable")("bans", () => {
  test.each(["SIGTERM", "SIGKILL"] as const)("are there again after %s, with claims and evidence", async (signal) => {
    await using stack = new AsyncDisposableStack();
    const { network, map, start, visit } = await scene(stack);
    const [stranger, banned] = [network.clientIpv4(3), network.clientIpv4(4)];
    const first = await start();
    await visit(stranger, "GET / HTTP/1.1\r\n\r\n");
    await first.banned(stranger);
    await first.command("ban", stranger, "--for", "7d");
    await first.command("ban", banned, "--for", "ever");
    await first.command("ban", "198.51.100.0/24", "--for", "1h");
    await sleep(600);
    first.child.signal(signal);
    await first.child.exited;
    if (signal === "SIGTERM") expect(map.pins()).toEqual([]);
    const second = await start();
    expect(await second.ban(stranger)).toMatchObject({
      ...{ by: "operator", claims: [{ origin: "operator" }, { origin: "sniffer", protocol: "http" }] },
      evidence: { client: stranger, firstBytesText: expect.stringContaining("GET /") },
    });
    const left = (await second.ban(stranger))?.remainingSeconds ?? 0;
    expect([left > 7 * 86_400 - 60, left <= 7 * 86_400]).toEqual([true, true]);
    expect((await second.ban(banned))?.remainingSeconds).toBe(null);
    expect((await second.status()).bans.active).toBe(3);
    for (const from of [stranger, banned]) expect((await visit(from)).outcome).toBe("no answer");
    // What is lifted stays lifted.
    await second.command("lift", banned);
    await second.child.stop();
    const third = await start();
    expect((await third.bans()).map(({ source }) => source).sort()).toEqual([stranger, "198.51.100.0/24"].sort());
  });

  test("and lifts that were answered outlive a kill in the same moment", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, state } = await scene(stack);
    const start = async () => stack.use(await RunningGate.start(["--state", state.path], { namespace: network.gate }));
    const list = Array.from({ length: 300 }, (_, index) => `198.51.100.${index % 256}`).join("\n");
    const ask = async (gate: RunningGate, method: string, path: string, body?: string) => {
      const reply = await gate.fetch(path, { method, ...(body === undefined ? {} : { body }) });
      expect(reply.ok).toBe(true);
      gate.child.signal("SIGKILL");
      await gate.child.exited;
    };
    await ask(await start(), "POST", "/bans", JSON.stringify({ address: "203.0.113.7", for: "1h" }));
    const second = await start();
    expect((await second.bans()).map(({ source }) => source)).toEqual(["203.0.113.7"]);
    await ask(second, "POST", "/bans/list?for=1h", list);
    const third = await start();
    expect((await third.status()).bans.active).toBe(257);
    await ask(third, "DELETE", "/bans/203.0.113.7");
    const fourth = await start();
    expect(await fourth.ban("203.0.113.7")).toBeUndefined();
    await ask(fourth, "POST", "/lifts/list", list);
    expect((await (await start()).status()).bans.active).toBe(0);
  });

  test("are forgotten with --forget, for good", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, state, start } = await scene(stack);
    const first = await start();
    await first.command("ban", network.clientIpv4(3), "--for", "ever");
    await first.child.stop();
    expect(readdirSync(state.path)).toEqual(["bans-__-5000"]);
    const second = await start("--forget");
    expect(await second.bans()).toEqual([]);
    await second.child.stop();
    expect(existsSync(state.file("bans-__-5000"))).toBe(false);
  });

  test("are there again after a reload has moved the gate, and when it gets a name", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, state } = await scene(stack);
    using directory = new TempDir();
    const head = `block-map = "${map.name}"\ninterface = "${network.device}"\nstate = "${state.path}"\n`;
    const file = directory.write("ttgate.toml", `${head}listen = "5000"\n`);
    const start = async () => stack.use(await RunningGate.start(["-c", file], { namespace: network.gate }));
    const first = await start();
    await first.command("ban", "198.51.100.7", "--for", "1h");
    directory.write("ttgate.toml", `${head}listen = "6000"\n`);
    expect(await first.command("reload")).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(state.path).sort()).toEqual(["bans-__-6000", "bans-__-6000.lock"]);
    await first.command("ban", "198.51.100.8", "--for", "1h");
    await first.child.stop();
    const second = await start();
    expect((await second.bans()).map(({ source }) => source).sort()).toEqual(["198.51.100.7", "198.51.100.8"]);
    await second.child.stop();
    directory.write("ttgate.toml", `${head}[[gate]]\nname = "a"\nlisten = "6000"\n`);
    const third = await start();
    expect((await third.bans()).length).toBe(2);
    expect(readdirSync(state.path).sort()).toEqual(["bans", "bans.lock"]);
  });

  test("of one directory are kept by one gate", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, state, start } = await scene(stack);
    const gate = await start();
    const other = ttgate(["-l", "5000", "--state", state.path, "-s", "off", "-c", "/dev/null"]);
    await using elsewhere = stack.use(new AsyncDisposableStack());
    const second = elsewhere.use(new Network());
    const { code, stderr } = await run(other, { namespace: second.gate });
    expect(code).toBe(2);
    expect(stderr).toContain(
      `Cannot keep bans in "${state.path}": the gate with pid ${gate.child.pid} is using it; give each gate a --state of its own`,
    );
    expect(network.gate).toBeString();
    // Another container does not see its process.
    const contained = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", ...other];
    await using child = new Child(contained, { namespace: second.gate });
    expect(await child.done()).toMatchObject({ code: 2 });
    expect(child.stderr).toContain(
      `Cannot keep bans in "${state.path}": the gate with pid ${gate.child.pid}, in another container, is using it`,
    );
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    await using next = new Child(contained, { namespace: second.gate });
    await next.said("Listening on");
  });
});
