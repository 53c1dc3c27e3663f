// SPDX-License-Identifier: Apache-2.0
// By which way a banned source comes: the kernel is said to block it only where that is proven; else it is said
// who refuses it, and connections that should not have got so far are counted.
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** A ban that is younger may have met a connection under way. */
const settledMs = 2200;

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons } = (await reply.json()) as { reasons: readonly string[] };
  return { status: reply.status, text: reasons.join("\n") };
}

describeWith("namespaces", "executable", { program: "python3" })("with an interface that is not guarded", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let gate: RunningGate;
  const tunnelled = "10.99.0.2";

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const script = join(import.meta.dirname, "../harness/tun_pair.py");
    const tun = stack.use(new Child(["python3", script, network.gate, "tun7", network.client, "tun7"]));
    await tun.said(/ready/);
    for (const [namespace, address] of [
      [network.gate, "10.99.0.1/24"],
      [network.client, `${tunnelled}/24`],
    ] as const) {
      ip("-n", namespace, "address", "add", address, "dev", "tun7");
      ip("-n", namespace, "link", "set", "tun7", "up");
    }
    gate = stack.use(await RunningGate.start(["-B", map.name, "-i", network.device], { namespace: network.gate }));
  });
  afterEach(() => stack.disposeAsync());

  test("log, why and bans say for each source who keeps it out", async () => {
    const direct = network.clientIpv4(3);
    await gate.command("ban", direct);
    await gate.command("ban", tunnelled);
    await gate.child.said(new RegExp(`Banned ${direct} for 10m: by command; blocked in the kernel\n`));
    await gate.child.said(
      new RegExp(`Banned ${tunnelled} for 10m: by command; refused in user space: interface tun7 is not guarded\n`),
    );
    expect((await gate.ban(direct))?.refused).toEqual({ by: "kernel", why: null });
    const why = "interface tun7 is not guarded";
    expect((await gate.ban(tunnelled))?.refused).toEqual({ by: "user space", why });
    expect((await gate.command("why", direct)).stdout).toContain("kept out: blocked in the kernel\n");
    expect((await gate.command("why", tunnelled)).stdout).toContain(`kept out: refused in user space: ${why}\n`);
    expect((await gate.command("bans")).stdout).toContain(`1 of them refused in user space: ${why}`);
    // And so it is.
    const from = (host: string, source: string) =>
      probeFrom(network.client, { host, port: 5000, from: source, waitMs: 500 });
    expect((await from(network.gateIpv4, direct)).outcome).toBe("no answer");
    expect((await from("10.99.0.1", tunnelled)).outcome).toBe("reset");
  });

  test("what user space refuses although the kernel should have is counted, and turns /readyz red", async () => {
    await gate.command("ban", tunnelled);
    const visit = () => probeFrom(network.client, { host: "10.99.0.1", port: 5000, from: tunnelled, waitMs: 200 });
    await visit();
    await new Promise((resolve) => setTimeout(resolve, settledMs));
    expect((await gate.status()).kernel.unseen?.connections).toBe(0);
    for (const count of [1, 2, 3]) {
      expect((await readiness(gate)).status).toBe(200);
      await visit();
      await gate.until(`${count} counted`, ({ kernel }) => kernel.unseen?.connections === count);
    }
    const red = await readiness(gate);
    expect(red.status).toBe(503);
    expect(red.text).toMatch(
      /^3 connections to port 5000 were not dropped by the kernel program since the start, the last one from 10\.99\.0\.2 port \d+ by interface "tun7": this interface is not guarded: add --interface tun7$/,
    );
  });
});

describeWith("namespaces", "executable", { program: "nft" })("with all interfaces guarded", () => {
  test("a redirect lets a banned source in: refused, counted, /readyz red", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack);
    const from = network.clientIpv4(3);
    await gate.command("ban", from);
    await gate.child.said(new RegExp(`Banned ${from} for 10m: by command; blocked in the kernel\n`));
    const rules = [
      "add table ip nat",
      "add chain ip nat pre { type nat hook prerouting priority -100 ; }",
      "add rule ip nat pre tcp dport 8080 redirect to :5000",
    ];
    await run(["nft", "-f", "-"], { namespace: network.gate, input: `${rules.join("\n")}\n` });
    await new Promise((resolve) => setTimeout(resolve, settledMs));
    const visit = (port: number) => probeFrom(network.client, { host: network.gateIpv4, port, from, waitMs: 200 });
    expect((await visit(5000)).outcome).toBe("no answer");
    for (const _ of [1, 2, 3]) expect((await visit(8080)).outcome).not.toBe("open");
    const red = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.status === 503 && answer;
    });
    expect(red.text).toContain("a redirect to the port");
  });
});

describeWith(
  "namespaces",
  "executable",
  { program: "nft" },
  { program: "iptables" },
)("a rule of the packet filter", () => {
  const redirect = [
    "add table ip nat",
    "add chain ip nat pre { type nat hook prerouting priority -100 ; }",
    "add rule ip nat pre tcp dport 5000 redirect to :5001",
  ];

  const byNamedSet = [
    ...redirect.slice(0, -1),
    "add set ip nat ports { type inet_service; elements = { 80, 5000 }; }",
    "add rule ip nat pre iifname ttg* tcp dport @ports redirect to :5001",
  ];

  test.each([
    ["proxy", "nft", ["-f", "-"], redirect, ["flush", "ruleset"], "redirect to :5001"],
    ["inline", "nft", ["-f", "-"], redirect, ["flush", "ruleset"], "redirect to :5001"],
    ["proxy", "nft", ["-f", "-"], byNamedSet, ["flush", "ruleset"], "dport @ports redirect to :5001"],
    [
      ...(["proxy", "iptables"] as const),
      ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "5000", "-j", "REDIRECT", "--to-ports", "5001"],
      ...([[], ["-t", "nat", "-F", "PREROUTING"], "REDIRECT --to-ports 5001"] as const),
    ],
  ] as const)(
    "that leads clients past the gate turns /readyz and doctor red (%s, %s)",
    async (mode, tool, add, input, undo, text) => {
      await using stack = new AsyncDisposableStack();
      const network = stack.use(new Network());
      const map = stack.use(new BlockMap());
      for (const port of ["5001", ...(mode === "inline" ? ["5000"] : [])])
        stack.use(await startServer(network.gate, "--port", port, "--host", "0.0.0.0"));
      const options = ["-B", map.name, "--mode", mode];
      const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
      await waitFor("readiness", async () => (await readiness(gate)).status === 200);
      const filter = (args: readonly string[], lines: readonly string[]) =>
        run([tool, ...args], { namespace: network.gate, input: `${lines.join("\n")}\n` });
      expect((await filter(add, input)).stderr).toBe("");
      const red = await waitFor("a red /readyz", async () => {
        const answer = await readiness(gate);
        return answer.status === 503 && answer;
      });
      expect(red.text).toStartWith("Connections to port 5000 are led past the gate: ");
      expect(red.text).toContain(text);
      await gate.child.said(/error Connections to port 5000 are led past the gate/);
      const doctor = await run(ttgate(["doctor", "-c", "/dev/null", ...options]), { namespace: network.gate });
      expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining("led past the gate")]);
      await filter(undo, []);
      await waitFor("readiness", async () => (await readiness(gate)).status === 200);
      await gate.child.said(/No rule leads connections past the gate any more/);
    },
  );
});
