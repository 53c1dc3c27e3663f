// SPDX-License-Identifier: Apache-2.0
// A take-over of several gates at once, by a configuration in which they stand in another order, one is new and one is
// gone: each port has its socket, its mode, and in the kernel the place that it had.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { takeoverForm } from "../../src/daemon/takeover/channel.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { friendly, hostile } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { RawClients } from "../harness/raw_tcp.ts";
import { Sink } from "../harness/sink.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { handsOver, takeoverPath } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";
import { startWebServer } from "../harness/web_server.ts";

setDefaultTimeout(60_000);

const web = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
const ssh = new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n");
const wouldBe = join(import.meta.dirname, "../harness/successor_main.ts");

const head = `block-map = "MAP"\ninterface = "DEVICE"\n`;
const gates = {
  web: `[[gate]]\nname = "web"\nlisten = "8000"\nupstream = "127.0.0.1:8080"\nprofile = "http"\n`,
  sink: `[[gate]]\nname = "sink"\nlisten = "5000"\nmode = "inline"\n`,
  tape: `[[gate]]\nname = "tape"\nlisten = "6000"\nupstream = "127.0.0.1:5001"\n`,
  gone: `[[gate]]\nname = "gone"\nlisten = "7000"\nupstream = "127.0.0.1:5001"\n`,
  server: `[[gate]]\nname = "server"\nlisten = "8080"\nmode = "inline"\nprofile = "http"\n`,
};

async function scene(stack: AsyncDisposableStack, toml: string) {
  const network = stack.use(new Network({ clients: 8 }));
  const map = stack.use(new BlockMap());
  const directory = stack.use(new TempDir());
  stack.use(await startServer(network.gate, "--port", "5001"));
  stack.use(await startWebServer(network.gate, 8080));
  const write = (text: string) =>
    directory.write("ttgate.toml", (head + text).replaceAll("MAP", map.name).replaceAll("DEVICE", network.device));
  const start = async (text: string, ...more: readonly string[]) =>
    stack.use(await RunningGate.start(["-c", write(text), ...more], { namespace: network.gate }));
  const gate = await start(toml);
  await handsOver(gate);
  const knock = (from: string, port: number, send: Uint8Array) =>
    probeFrom(network.client, { host: network.gateIpv4, port, from, send: [send], waitMs: 700 });
  return { network, map, directory, write, start, gate, knock };
}

describeWith("namespaces", "executable", { program: "gcc" })("a take-over of several gates", () => {
  test("leaves no connection out, of whatever gate", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, start, gate, knock } = await scene(stack, gates.web + gates.gone + gates.sink + gates.tape);
    const sink = stack.use(await Sink.start(network.gate));
    const clients = stack.use(await RawClients.open(network));
    const silent = await clients.connect(clients.ipv4(1));
    const split = await clients.connect(clients.ipv4(2));
    const friend = await clients.connect(clients.ipv6(3));
    split.send({ bytes: hostile.slice(0, 3) });
    friend.send({ bytes: friendly.slice(0, 9) });
    await friend.acknowledged(9);
    const relayed = (port: string) =>
      startClient(network.client, "--host", network.gateIpv4, "--port", port, "--rate", "50", "--reconnect", "100000");
    const relays = [stack.use(await relayed("6000")), stack.use(await relayed("7000"))];
    for (const relay of relays) await relay.until("traffic", ({ packets }) => packets > 5);

    const next = await start(gates.sink + gates.server + gates.tape + gates.web, "--takeover", "--drain", "4s");
    await gate.child.said(new RegExp(`Handed over to pid ${next.child.pid}: 2 connections go on for 4 s at most`));
    // In the kernel: those who were open before too.
    silent.send({ bytes: hostile });
    split.send({ at: 3, bytes: hostile.slice(3) });
    friend.send({ at: 9, bytes: friendly.slice(9) });
    for (const { ends } of [silent, split]) {
      expect(await next.banned(ends.source)).toMatchObject({ protocol: "http", gate: "sink" });
    }
    await sink.got(friend.name, friendly);
    expect(await next.ban(friend.ends.source)).toBeUndefined();
    // By the relays, whose sockets were handed over; of the gate that is gone only what was open.
    for (const relay of relays) {
      const { packets } = await relay.until("a report", () => true);
      expect(await relay.until("more", (report) => report.packets > packets)).toMatchObject({ failures: 0 });
    }
    expect((await knock(network.clientIpv4(2), 8000, web)).received).toContain("hello");
    expect((await knock(network.clientIpv4(2), 7000, web)).outcome).toBe("refused");
    const fresh = stack.use(await relayed("6000"));
    await fresh.until("traffic", ({ packets }) => packets > 5);
    for (const [number, port, name] of [
      [3, 6000, "tape"],
      [4, 8000, "web"],
      [5, 8080, "server"],
    ] as const) {
      await knock(network.clientIpv4(number), port, ssh);
      expect(await next.banned(network.clientIpv4(number))).toMatchObject({ protocol: "ssh", gate: name });
    }
    expect((await knock(network.clientIpv4(2), 8080, web)).received).toContain("hello");
    const { gates: told } = await next.until("the counts", (status) => status.gates[0]?.judged?.banned === 2);
    expect(told.map(({ name, judged }) => [name, judged?.older])).toEqual([
      ["sink", 0],
      ["server", 0],
      ["tape", undefined],
      ["web", undefined],
    ]);
    expect(await gate.child.done(8000)).toMatchObject({ code: 0 });
    const stopped = await fresh.stop();
    expect(stopped.failures).toBe(0);
    expect(await (await next.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
  });

  test("is refused where one of them has another mode, and names its port", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, write, gate } = await scene(stack, gates.web + gates.tape);
    const config = write(gates.web + gates.tape.replace(/upstream.*/, `mode = "inline"`));
    const { code, stderr } = await run(ttgate(["-c", config, "-s", "off", "--takeover"]), { namespace: network.gate });
    expect({ code, said: /its gate of port 6000 runs with --mode proxy, not inline/.test(stderr) || stderr }).toEqual({
      code: 3,
      said: true,
    });
    expect(await (await gate.fetch("/readyz")).json()).toEqual({ ready: true, reasons: [] });
  });

  test("and a reload wait for one another", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, write, gate, knock } = await scene(stack, gates.web);
    const argv = [process.execPath, wouldBe, takeoverPath(gate), "ready", String(takeoverForm), map.name];
    await using child = new Child(argv, { namespace: network.gate });
    await child.said(/yours/);
    write(gates.web.replace("8000", "8001") + gates.tape);
    const reloaded = gate.command("reload");
    await sleep(1000);
    expect(gate.child.stderr).not.toContain("Reloaded");
    expect(await reloaded).toMatchObject({ code: 0 });
    await waitFor("the end of it", () => gate.child.stderr.includes("this gate goes on"));
    expect((await knock(network.clientIpv4(2), 8001, web)).received).toContain("hello");
    expect((await knock(network.clientIpv4(2), 8000, web)).outcome).toBe("refused");
  });
});
