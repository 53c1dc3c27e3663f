// SPDX-License-Identifier: Apache-2.0
// Several gates in one process: two profiles, in proxy mode and judged in the kernel, with one table of bans.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { startWebServer } from "../harness/web_server.ts";

setDefaultTimeout(60_000);

const web = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
const tape = Uint8Array.from(seal(new TextEncoder().encode("hello ".repeat(40)), "bare"));

async function scene(stack: AsyncDisposableStack, toml: string) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const directory = stack.use(new TempDir());
  stack.use(await startServer(network.gate, "--host", "::", "--port", "5001"));
  stack.use(await startWebServer(network.gate, 8080));
  const config = directory.write("ttgate.toml", toml.replaceAll("MAP", map.name).replaceAll("DEVICE", network.device));
  const gate = stack.use(await RunningGate.start(["-c", config], { namespace: network.gate }));
  const knock = (number: number, port: number, bytes: Uint8Array) => {
    const from = network.clientIpv4(number);
    return probeFrom(network.client, { host: network.gateIpv4, port, from, send: [bytes], waitMs: 700 });
  };
  const isServed = async (number: number, port: number) =>
    (await knock(number, port, port === 5000 ? tape : web)).received.length > 0;
  return { network, gate, config, directory, knock, isServed };
}

const mixed = `
block-map = "MAP"
interface = "DEVICE"
timeout = "5m"
[[gate]]
name = "tape"
listen = "5000"
[[gate]]
name = "web"
listen = "8080"
mode = "inline"
profile = "http"
timeout = "7m"
`;

describeWith("namespaces", "executable")("two gates in one process", () => {
  test("a stranger to one is out of both, a friend of each is served", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, knock, isServed } = await scene(stack, mixed);
    expect([await isServed(2, 5000), await isServed(2, 8080)]).toEqual([true, true]);

    await knock(3, 5000, web);
    const atTape = await gate.banned(network.clientIpv4(3));
    expect(atTape).toMatchObject({ protocol: "http", by: "sniffer", gate: "tape", scope: "all" });
    expect(atTape.refused.by).toBe("kernel");
    await knock(4, 8080, tape);
    const atWeb = await gate.banned(network.clientIpv4(4));
    expect(atWeb).toMatchObject({ by: "kernel", gate: "web", scope: "all" });
    expect(atWeb.remainingSeconds).toBeGreaterThan(350);
    for (const stranger of [3, 4]) {
      for (const port of [5000, 8080]) expect((await knock(stranger, port, web)).outcome).toBe("no answer");
    }
    expect([await isServed(2, 5000), await isServed(2, 8080)]).toEqual([true, true]);

    const status = await gate.until("the counts", ({ gates }) => gates[1]?.connections.foreign === 1);
    expect(status.gates).toMatchObject([
      {
        name: "tape",
        mode: "proxy",
        listen: "[::]:5000",
        profile: "tapetrack",
        connections: { foreign: 1 },
        judged: null,
      },
      { name: "web", mode: "inline", listen: "[::]:8080", profile: "http", judged: { banned: 1 } },
    ]);
    expect(status.connections.foreign).toBe(2);
    expect(status.kernel).toMatchObject({ ports: [5000, 8080], judged: { banned: 1 }, proof: { passed: true } });
    const metrics = await (await gate.fetch("/metrics")).text();
    expect(metrics).toContain('ttgate_connections_total{gate="tape",outcome="foreign"} 1\n');
    expect(metrics).toContain('ttgate_kernel_judged_packets_total{gate="web",outcome="banned"} 1\n');
    expect((await gate.command("why", network.clientIpv4(4))).stdout).toContain('at gate "web"');
    expect((await gate.command("status")).stdout).toContain('[::]:8080 for http, "web", inline');
    await gate.child.said(`it spoke http to port 5000 of gate "tape"`);
    expect((await (await gate.fetch("/readyz")).json()) as unknown).toEqual({ ready: true, reasons: [] });
  });

  test("two inline gates judge by their own profiles", async () => {
    await using stack = new AsyncDisposableStack();
    const toml = mixed.replace('listen = "5000"', 'listen = "5001"\nmode = "inline"');
    const { network, gate, knock, isServed } = await scene(stack, toml);
    expect((await knock(2, 5001, tape)).received.length).toBeGreaterThan(0);
    expect(await isServed(2, 8080)).toBe(true);
    await knock(3, 5001, web);
    expect(await gate.banned(network.clientIpv4(3))).toMatchObject({ by: "kernel", protocol: "http", gate: "tape" });
    await knock(4, 8080, tape);
    expect(await gate.banned(network.clientIpv4(4))).toMatchObject({ by: "kernel", gate: "web" });
    expect((await knock(3, 8080, web)).outcome).toBe("no answer");
    const { gates } = await gate.until("both", ({ gates }) => gates.every(({ judged }) => judged?.banned === 1));
    expect(gates.map(({ judged }) => judged?.passed)).toEqual([1, 1]);
  });

  test.each([
    ["inline", 8080, ""],
    ["proxy", 8000, 'upstream = "127.0.0.1:8080"'],
  ] as const)(
    "%s: a gate on trial bans nobody while the other enforces, then it bans too",
    async (mode, port, more) => {
      await using stack = new AsyncDisposableStack();
      const trial = `listen = "${port}"\ntrial = "12s"\n${more}`;
      const toml = mixed.replace('listen = "8080"', trial).replace('mode = "inline"', `mode = "${mode}"`);
      const { network, gate, knock } = await scene(stack, toml);
      const visitor = network.clientIpv4(3);
      await knock(3, port, tape);
      const status = await gate.until("who would be banned", ({ gates }) => gates[1]?.trial?.wouldTurnAway === 1);
      expect(status).toMatchObject({
        ...{ dryRun: false, bans: { active: 0 }, kernel: { entries: 0 } },
        gates: [{ trial: null }, { trial: { state: "observing", hurt: [] } }],
      });
      await gate.child.said(/Would ban \S+ for 7m: it spoke \w+ to port \d+ of gate "web".* \(trial\)/);
      const ready = (await (await gate.fetch("/readyz")).json()) as unknown;
      expect(ready).toMatchObject({ ready: true, trial: expect.stringMatching(/^Gate "web": observing until /) });
      // Whom it would have banned is let in again, here and at the other gate.
      expect((await knock(3, port, tape)).outcome).not.toBe("no answer");
      expect((await knock(3, 5000, tape)).received.length).toBeGreaterThan(0);

      // The other gate bans, and that holds at both.
      await knock(4, 5000, web);
      expect(await gate.banned(network.clientIpv4(4))).toMatchObject({ gate: "tape", refused: { by: "kernel" } });
      for (const at of [5000, port]) expect((await knock(4, at, web)).outcome).toBe("no answer");
      expect((await gate.status()).kernel.entries).toBe(1);

      await gate.child.said(/Gate "web": Trial: passed after 12s/, 30_000);
      expect((await gate.bans()).map(({ source }) => source)).toEqual([network.clientIpv4(4)]);
      await knock(3, port, tape);
      expect(await gate.banned(visitor)).toMatchObject({ gate: "web", refused: { by: "kernel" } });
      expect((await knock(3, 5000, tape)).outcome).toBe("no answer");
    },
  );

  test("without a kernel, bans of another gate hold at one on trial; a reload opens one and closes it", async () => {
    await using stack = new AsyncDisposableStack();
    using state = new TempDir();
    const tapeGate = `state = "${state.path}"\n[[gate]]\nname = "tape"\nlisten = "5000"\n`;
    const webGate = `[[gate]]\nname = "web"\nlisten = "8000"\nupstream = "127.0.0.1:8080"\nprofile = "http"\ntrial = "1h"\n`;
    const { network, gate, knock, config, directory, isServed } = await scene(stack, tapeGate);
    directory.write("ttgate.toml", tapeGate + webGate);
    expect((await gate.command("reload")).code).toBe(0);
    await gate.child.said(/Gate "web": Trial: the trial of profile http of 1h begins/);
    await knock(3, 8000, tape);
    await gate.until("who would be banned", ({ gates }) => gates[1]?.trial?.wouldTurnAway === 1);
    expect((await knock(3, 8000, web)).received).toContain("hello");
    expect((await gate.command("ban", network.clientIpv4(5))).code).toBe(0);
    await knock(4, 5000, web);
    await gate.banned(network.clientIpv4(4));
    for (const stranger of [4, 5]) expect((await knock(stranger, 8000, web)).outcome).toBe("reset");
    directory.write("ttgate.toml", tapeGate);
    expect((await gate.command("reload")).code).toBe(0);
    expect(existsSync(state.file("bans.web.trial"))).toBe(true);
    expect(await isServed(3, 5000)).toBe(true);
    await gate.child.stop();
    // What was observed goes on.
    directory.write("ttgate.toml", tapeGate + webGate);
    await using next = await RunningGate.start(["-c", config], { namespace: network.gate });
    expect((await next.status()).gates[1]?.trial).toMatchObject({ state: "observing", wouldTurnAway: 1 });
    await next.child.said(/Gate "web": Trial: the trial of profile http goes on/);
  });

  test("with ban-scope gate a stranger to one is served by the other, and is in the state of the next run", async () => {
    await using stack = new AsyncDisposableStack();
    const toml = `
block-map = "MAP"
interface = "DEVICE"
state = "STATE"
[[gate]]
name = "tape"
listen = "5000"
ban-scope = "gate"
[[gate]]
name = "web"
listen = "8000"
upstream = "127.0.0.1:8080"
profile = "http"
`;
    using state = new TempDir();
    const { network, gate, knock, config } = await scene(stack, toml.replace("STATE", state.path));
    const from = network.clientIpv4(3);
    await knock(3, 5000, web);
    const ban = await gate.banned(from);
    expect(ban).toMatchObject({ gate: "tape", scope: "gate", refused: { by: "user space" } });
    expect((await knock(3, 5000, tape)).outcome).toBe("reset");
    expect((await knock(3, 8000, web)).received).toContain("hello");
    expect((await gate.status()).kernel.entries).toBe(0);
    await gate.child.said("at this gate alone");
    // What the other gate sees holds everywhere.
    await knock(3, 8000, tape);
    await gate.until("the kernel's entry", ({ kernel }) => kernel.entries === 1);
    expect(await gate.ban(from)).toMatchObject({ scope: "all" });
    expect((await knock(3, 5000, tape)).outcome).toBe("no answer");
    await gate.child.stop();
    await using next = await RunningGate.start(["-c", config], { namespace: network.gate });
    const claims = (await next.banned(from)).claims.map(({ gate: name, scope }) => `${name} ${scope}`).sort();
    expect(claims).toEqual(["tape gate", "web all"]);
  });
});
