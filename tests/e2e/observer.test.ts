// SPDX-License-Identifier: Apache-2.0
// The second observer: connections whose first bytes the kernel's judge never saw are counted, whatever way
// they came; those that it saw never are.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Child, run } from "../harness/child.ts";
import { bpftool, type RunningGate, ttgate } from "../harness/gate.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { clearArray } from "../harness/kernel_hands.ts";
import { describeWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startClient } from "../harness/standin.ts";
import { ownNetwork, swarm } from "../harness/swarm.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(90_000);

/** A connection that is open is looked at twice a second, and once more before it is told. */
const soonMs = 3000;

function unseen(gate: RunningGate, connections: number) {
  return gate.until(
    `${connections} unseen connections`,
    ({ kernel }) => (kernel.unseen?.connections ?? 0) >= connections,
    soonMs,
  );
}

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons } = (await reply.json()) as { reasons: readonly string[] };
  return { status: reply.status, text: reasons.join("\n") };
}

/** Connects once for each way that a stranger has; how it ends is not of interest here. */
async function visit(bed: InlineBed, host: string, port: number, from: string, bytes = hostile, waitMs = 100) {
  return await probeFrom(bed.network.client, { host, port, from, send: [bytes], waitMs });
}

/** What was established before the observer was there, and in its first moments, is not followed. */
async function observing({ network, gate }: InlineBed): Promise<void> {
  const isObserved = async () => {
    const { client, gateIpv4: host } = network;
    await probeFrom(client, { host, port: 5000, from: network.clientIpv4(3), send: [friendly], waitMs: 700 });
    return ((await gate.status()).kernel.unseen?.observed ?? 0) >= 1;
  };
  await waitFor("a friend to be observed", isObserved, 20_000);
}

async function redirect(bed: InlineBed): Promise<void> {
  const rules = ["ip", "ip6"].flatMap((family) => [
    `add table ${family} nat`,
    `add chain ${family} nat pre { type nat hook prerouting priority -100 ; }`,
    `add rule ${family} nat pre tcp dport 8080 redirect to :5000`,
  ]);
  const result = await run(["nft", "-f", "-"], { namespace: bed.network.gate, input: `${rules.join("\n")}\n` });
  if (result.code !== 0) throw new Error(`Cannot redirect a port: ${result.stderr}`);
}

describeWith("namespaces", "executable")("while its interface is not guarded", () => {
  test("what came is told; afterwards it is not put down to a redirect", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, () => ["--mode", "inline"]);
    const { gateIpv4: host, device } = network;
    const inGate = (...args: readonly string[]) => ip("-n", network.gate, ...args);
    const why = async () => (await gate.status()).kernel.unseen?.last?.why;
    inGate("address", "flush", "dev", device);
    inGate("address", "add", `${host}/32`, "dev", "lo");
    inGate("route", "add", "10.77.0.0/16", "dev", device);
    await waitFor("the end of the guard", async () => (await gate.status()).kernel.interfaces.length === 0);
    const address = ["--host", host, "--port", "5000", "--from", network.clientIpv4(2), "--reconnect", "1"];
    const client = stack.use(await startClient(network.client, ...address));
    await waitFor("the remedy", async () => (await why())?.includes(`add --interface ${device}`));
    inGate("address", "del", `${host}/32`, "dev", "lo");
    inGate("address", "add", `${host}/16`, "dev", device);
    await gate.until("the guard", ({ kernel }) => kernel.interfaces.length === 1);
    const { connections } = client.last() ?? { connections: 0 };
    await client.until("a second of connections", (report) => report.connections > connections + 20);
    expect((await client.stop()).failures).toBe(0);
    const told = (await (await gate.fetch("/readyz")).text()) + (await why()) + gate.child.stderr;
    expect(told).toContain("it was not guarded until a moment ago");
    expect(told).not.toContain("a redirect to the port");
  });
});

describeWith("namespaces", "executable")("connections that the judge sees", () => {
  test("never count: 200 friends, 50 strangers, live connections over a restart, loopback", async () => {
    await using bed = await InlineBed.open();
    const { network } = bed;
    ownNetwork(network, "10.78.0.0/16");
    // Still open when the gate is started anew, before and after their first bytes.
    const idle = await bed.clients.connect(bed.nextIpv4());
    const live = await bed.clients.connect(bed.nextIpv6());
    live.send({ bytes: friendly });
    await bed.sink.got(live.name, friendly);
    await swarm(network, { base: "10.78.1.0", count: 100, send: friendly, waitMs: 1500 });
    await bed.restartGate();
    idle.send({ bytes: friendly });
    await bed.sink.got(idle.name, friendly);
    live.send({ at: friendly.length, bytes: hostile });
    await swarm(network, { base: "10.78.2.0", count: 200, send: friendly, waitMs: 1500 });
    await swarm(network, { base: "10.78.3.0", count: 50, send: hostile, waitMs: 300 });
    // By loopback, which is not guarded: a health check of this host.
    const local = await probeFrom(network.gate, { host: "127.0.0.1", port: 5000, send: [friendly], waitMs: 1200 });
    expect(local.outcome).toBe("open");
    // Nothing said, one byte less than a verdict takes, and closed in the same breath.
    await visit(bed, network.gateIpv4, 5000, network.clientIpv4(7), new Uint8Array(), 1200);
    await visit(bed, network.gateIpv4, 5000, network.clientIpv4(7), friendly.slice(0, 3), 1200);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: network.clientIpv4(7), fin: true });
    await probeFrom(network.client, {
      ...{ host: network.gateIpv6, port: 5000, from: network.clientIpv6(7), send: [friendly], fin: true },
    });
    const { kernel } = await bed.gate.until("all bans", ({ bans }) => bans.active === 50);
    expect(kernel.unseen).toMatchObject({ connections: 0, unobserved: null, last: null });
    expect(kernel.unseen?.observed).toBeGreaterThanOrEqual(250);
    expect(await readiness(bed.gate)).toEqual({ status: 200, text: "" });
  });
});

describeWith("namespaces", "executable", { program: "nft" })("a redirect to the guarded port", () => {
  test("is counted, told with an example, and turns /readyz red while it goes on", async () => {
    await using bed = await InlineBed.open();
    const { network, gate } = bed;
    await redirect(bed);
    await observing(bed);
    const from = network.clientIpv4(3);
    // It closes at once: looked at in that moment.
    await visit(bed, network.gateIpv4, 8080, from);
    const { kernel } = await unseen(gate, 1);
    expect(kernel.unseen?.last).toMatchObject({ source: from, interface: network.device });
    expect(kernel.unseen?.last?.why).toContain("redirect");
    expect((await readiness(gate)).status).toBe(200);
    await gate.child.said(
      new RegExp(`A connection to port 5000 was not judged by the kernel program, from ${from} port`),
    );
    // It stays open: looked at now and then. And another tool has cleared the observer's settings.
    await clearArray(gate.child.pid, "ttgate_watch");
    const { uptimeSeconds: clearedAfter } = await gate.status();
    await gate.until("two turns", ({ uptimeSeconds }) => uptimeSeconds >= clearedAfter + 1);
    await using open = new Child(
      ["bash", "-c", `exec 3<>/dev/tcp/${network.gateIpv4}/8080; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; sleep 30`],
      { namespace: network.client },
    );
    await unseen(gate, 2);
    open.signal("SIGKILL");
    await visit(bed, network.gateIpv6, 8080, network.clientIpv6(3), friendly);
    const after = await unseen(gate, 3);
    expect(after.kernel.unseen).toMatchObject({ connections: 3, last: { source: network.clientIpv6(3) } });
    const red = await readiness(gate);
    expect(red.status).toBe(503);
    expect(red.text).toMatch(/^3 connections to port 5000 were not judged by the kernel program since the start/);
    const metrics = await (await gate.fetch("/metrics")).text();
    expect(metrics).toContain("\nttgate_unseen_connections_total 3\n");
    const stream = await gate.fetch("/events", { headers: { "last-event-id": "0" } });
    let told = "";
    for await (const chunk of stream.body ?? []) {
      told += new TextDecoder().decode(chunk);
      if (told.includes('"type":"unseen"')) break;
    }
    expect(told).toMatch(new RegExp(`"type":"unseen",.*"source":"${from}".*"interface":"${network.device}"`));
    const doctor = await run(ttgate(["doctor", "--mode", "inline", "-B", bed.map.name]), { namespace: network.gate });
    expect(doctor.stdout).toContain("nft table ip nat, chain pre: tcp dport 8080 redirect to :5000");
    // Judged as ever are those that come to the port itself.
    await visit(bed, network.gateIpv4, 5000, network.clientIpv4(4));
    await gate.banned(network.clientIpv4(4));
    expect((await gate.status()).kernel.unseen?.connections).toBe(3);
  });
});

describeWith("namespaces", "executable", { program: "nft" })("the observer", () => {
  test("goes on when the maps were frozen by another tool, and are replaced", async () => {
    await using bed = await InlineBed.open();
    const { network, gate, map } = bed;
    await redirect(bed);
    bpftool(["map", "freeze", "pinned", map.path]);
    await gate.child.said(/The block map was frozen by another tool: replaced/, 20_000);
    await waitFor("readiness", async () => (await readiness(gate)).status === 200);
    await observing(bed);
    expect((await gate.status()).kernel.unseen).toMatchObject({ connections: 0, unobserved: null });
    await visit(bed, network.gateIpv4, 8080, network.clientIpv4(4));
    expect((await unseen(gate, 1)).kernel.unseen?.last?.source).toBe(network.clientIpv4(4));
  });
});

describeWith("namespaces", "executable", { program: "python3" })("another way to the guarded port", () => {
  test("by a tun device is counted, with its name", async () => {
    await using bed = await InlineBed.open();
    const { network, gate } = bed;
    const argv = ["python3", join(import.meta.dirname, "../harness/tun_pair.py")];
    await using tun = new Child([...argv, network.gate, "tun7", network.client, "tun7"]);
    await tun.said(/ready/);
    for (const [namespace, address] of [
      [network.gate, "10.99.0.1/24"],
      [network.client, "10.99.0.2/24"],
    ] as const) {
      ip("-n", namespace, "address", "add", address, "dev", "tun7");
      ip("-n", namespace, "link", "set", "tun7", "up");
    }
    await visit(bed, "10.99.0.1", 5000, "10.99.0.2");
    const { kernel } = await unseen(gate, 1);
    expect(kernel.unseen?.last).toMatchObject({
      ...{ source: "10.99.0.2", interface: "tun7", why: "this interface is not guarded: add --interface tun7" },
    });
  });

  test("by a tunnel in a guarded interface is counted, with its name", async () => {
    await using bed = await InlineBed.open();
    const { network, gate } = bed;
    for (const [namespace, local, remote, device, address] of [
      [network.gate, network.gateIpv4, network.clientIpv4(1), network.device, "10.99.1.1/24"],
      [network.client, network.clientIpv4(1), network.gateIpv4, network.clientDevice, "10.99.1.2/24"],
    ] as const) {
      const vxlan = ["type", "vxlan", "id", "7", "local", local, "remote", remote, "dstport", "4789", "dev", device];
      ip("-n", namespace, "link", "add", "vxlan7", ...vxlan);
      ip("-n", namespace, "address", "add", address, "dev", "vxlan7");
      ip("-n", namespace, "link", "set", "vxlan7", "up");
    }
    await visit(bed, "10.99.1.1", 5000, "10.99.1.2", friendly, 500);
    const { kernel } = await unseen(gate, 1);
    expect(kernel.unseen?.last).toMatchObject({ source: "10.99.1.2", interface: "vxlan7" });
  });

  test("by MPTCP is judged, or counted", async () => {
    await using bed = await InlineBed.open({ sink: ["mptcp"] });
    const { network, gate } = bed;
    const script = [
      "import socket, sys, time",
      "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
      "s.bind((sys.argv[1], 0))",
      "s.connect((sys.argv[2], 5000))",
      "s.send(bytes.fromhex(sys.argv[3]))",
      "time.sleep(0.3)",
    ].join("\n");
    const from = network.clientIpv4(3);
    const argv = ["python3", "-c", script, from, network.gateIpv4, hostile.toHex()];
    await run(argv, { namespace: network.client });
    await waitFor("a ban, or a count", async () => {
      const { kernel, bans } = await gate.status();
      return bans.active === 1 || kernel.unseen?.connections === 1;
    });
    // Who does not speak it is judged as ever by such a server.
    const before = (await gate.status()).kernel.unseen?.connections;
    await visit(bed, network.gateIpv4, 5000, network.clientIpv4(4), friendly, 1500);
    await visit(bed, network.gateIpv4, 5000, network.clientIpv4(5));
    await gate.banned(network.clientIpv4(5));
    expect((await gate.status()).kernel.unseen?.connections).toBe(before);
  });
});
