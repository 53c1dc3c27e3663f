// SPDX-License-Identifier: Apache-2.0
// A minute without the processor (SIGSTOP), as on a host that swaps or a machine that is moved; and peers that are
// gone without a packet. The kernel goes on blocking, bans end on time, relays go on, who is gone is found.
import { expect, setDefaultTimeout, test } from "bun:test";
import { RunningGate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { ip, Network } from "../../harness/netns.ts";
import { probeFrom } from "../../harness/probe.ts";
import { openScene } from "../../harness/scene.ts";
import { startClient, startServer } from "../../harness/standin.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

setDefaultTimeout(240_000);

const stoppedSeconds = 60;
const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

describeWith("namespaces", "executable")("a gate that stands still for a minute", () => {
  test("blocks meanwhile, lets in on time, and goes on with every connection", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, () => ["-t", "40s"]);
    const address = ["--host", network.gateIpv4, "--port", "5000", "--reconnect", "1000000"];
    const client = stack.use(await startClient(network.client, ...address, "--from", network.clientIpv4(2)));
    await client.until("answers", ({ packets }) => packets > 5);
    const at = { host: network.gateIpv4, port: 5000, from: network.clientIpv4(3) };
    await probeFrom(network.client, { ...at, send: http });
    await gate.banned(at.from);
    const forever = network.clientIpv4(4);
    await gate.command("ban", forever, "--for", "1h");
    gate.child.signal("SIGSTOP");
    stack.defer(() => gate.child.signal("SIGCONT"));
    const stoppedMs = performance.now();
    await sleep(5000);
    const knock = async (from: string) => (await probeFrom(network.client, { ...at, from, waitMs: 500 })).outcome;
    expect([await knock(at.from), await knock(forever)]).toEqual(["no answer", "no answer"]);
    // The kernel answers for a process that stands still: the queue of its listener is open.
    await waitFor("the end of the ban", async () => (await knock(at.from)) === "open", 60_000);
    await sleep(Math.max(0, stoppedMs + stoppedSeconds * 1000 - performance.now()));
    expect(await knock(forever)).toBe("no answer");
    const { packets = 0 } = client.last() ?? {};
    gate.child.signal("SIGCONT");
    await gate.until("the ban's end", ({ bans }) => bans.active === 1);
    await waitFor("readiness", async () => (await gate.fetch("/readyz")).ok, 15_000);
    expect(await knock(forever)).toBe("no answer");
    await probeFrom(network.client, { ...at, from: network.clientIpv4(5), send: http });
    await gate.banned(network.clientIpv4(5));
    expect((await gate.status()).connections.active).toBeLessThanOrEqual(3);
    // Its only request of that minute took longer than a stand-in waits; what was sent is not lost.
    await client.until("answers again", (report) => report.packets > packets + 5, 20_000);
  });
});

describeWith("namespaces", "executable")("a peer that is gone without a packet", () => {
  test("is found by keepalive, without --idle", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start([], { namespace: network.gate }));
    const address = ["--host", network.gateIpv4, "--port", "5000", "--rate", "0.001"];
    stack.use(await startClient(network.client, ...address, "--from", network.clientIpv4(2)));
    await gate.until("the connection", ({ connections }) => connections.relayed === 1);
    // Long enough to be taken for one that lives.
    await sleep(2000);
    ip("-n", network.client, "link", "set", network.clientDevice, "down");
    const cutMs = performance.now();
    await gate.until("its end", ({ connections }) => connections.active === 0, 200_000);
    console.log(`found after ${((performance.now() - cutMs) / 1000).toFixed(0)} s`);
    expect((await gate.status()).upstreams[0]?.active).toBe(0);
  });
});
