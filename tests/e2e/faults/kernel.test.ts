// SPDX-License-Identifier: Apache-2.0
// What others do to the kernel's side while the gate runs: it goes on blocking or says why not, serves its clients
// all the same, and is whole again by itself. A map whose pins are removed: other_hands.test.ts; interfaces that go
// and come: attach.test.ts, host_changes.test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../harness/child.ts";
import { attachForeign } from "../../harness/foreign_xdp.ts";
import { type RunningGate, xdpLink, xdpPrograms } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { ip } from "../../harness/netns.ts";
import { probeFrom } from "../../harness/probe.ts";
import { openScene, type Scene } from "../../harness/scene.ts";
import { startClient } from "../../harness/standin.ts";
import { waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

async function scene(stack: AsyncDisposableStack) {
  const { network, map, gate } = await openScene(stack, () => ["-t", "1h"]);
  const from = ["--from", network.clientIpv4(2)];
  const client = await startClient(network.client, "--host", network.gateIpv4, "--port", "5000", ...from);
  stack.use(client);
  return { network, map, gate, client };
}

async function reasons(gate: RunningGate): Promise<string> {
  const { reasons } = (await (await gate.fetch("/readyz")).json()) as { reasons: readonly string[] };
  return reasons.join("; ");
}

/** A stranger is banned, and the kernel drops what it sends then. */
async function expectBlocked({ network, gate }: Scene, number: number): Promise<void> {
  const at = { host: network.gateIpv4, port: 5000, from: network.clientIpv4(number) };
  await probeFrom(network.client, { ...at, send: http });
  await gate.banned(at.from);
  await waitFor(
    `${at.from} dropped by the kernel`,
    async () => (await probeFrom(network.client, { ...at, waitMs: 300 })).outcome === "no answer",
  );
}

async function expectReady({ gate }: Scene): Promise<void> {
  await waitFor("readiness", async () => (await reasons(gate)) === "", 15_000);
}

describeWith(
  "namespaces",
  "executable",
  "apart",
)("the kernel block", () => {
  test("goes on with bpffs unmounted, says so, and has its pins when it is there again", async () => {
    await using stack = new AsyncDisposableStack();
    const all = await scene(stack);
    await expectBlocked(all, 3);
    // From its first look at its pins on, the gate holds none of them open.
    await waitFor("bpffs unmounted", async () => (await run(["umount", "/sys/fs/bpf"])).code === 0);
    stack.defer(async () => {
      if ((await run(["mountpoint", "-q", "/sys/fs/bpf"])).code !== 0) await mountBpffs();
    });
    await expectBlocked(all, 4);
    await mountBpffs();
    await waitFor("the pins", () => all.map.pins().length >= 3, 15_000);
    await expectReady(all);
    await expectBlocked(all, 5);
    expect((await all.client.stop()).failures).toBe(0);
    expect(await all.gate.child.stop()).toMatchObject({ code: 0 });
    expect(all.map.pins()).toEqual([]);
  });

  test("whose link is taken away for another's program goes on by tc, and leaves that program alone", async () => {
    await using stack = new AsyncDisposableStack();
    const all = await scene(stack);
    const { network, map, gate, client } = all;
    await expectBlocked(all, 3);
    const link = xdpLink(network.gate, network.device);
    // The gate puts its program back within a moment: it stands still while the other one comes.
    gate.child.signal("SIGSTOP");
    await run(["bpftool", "link", "detach", "id", String(link)], { namespace: network.gate });
    await attachForeign(network, map).finally(() => gate.child.signal("SIGCONT"));
    const [foreign] = xdpPrograms(network.gate, network.device);
    await gate.until("another way to the packets", ({ kernel }) => kernel.attach === "tc");
    await expectReady(all);
    await expectBlocked(all, 4);
    expect(xdpPrograms(network.gate, network.device)).toEqual([foreign ?? 0]);
    expect((await client.stop()).failures).toBe(0);
  });

  test("goes on when its interface goes down and comes up, and when it is renamed", async () => {
    await using stack = new AsyncDisposableStack();
    const all = await scene(stack);
    const { network, gate } = all;
    await all.client.stop();
    ip("-n", network.gate, "link", "set", network.device, "down");
    ip("-n", network.gate, "link", "set", network.device, "up");
    ip("-n", network.gate, "address", "replace", `${network.gateIpv6}/32`, "dev", network.device, "nodad");
    await expectReady(all);
    await expectBlocked(all, 3);
    const renamed = `${network.device}r`;
    ip("-n", network.gate, "link", "set", network.device, "down");
    ip("-n", network.gate, "link", "set", network.device, "name", renamed);
    ip("-n", network.gate, "link", "set", renamed, "up");
    stack.defer(() => {
      ip("-n", network.gate, "link", "set", renamed, "down");
      ip("-n", network.gate, "link", "set", renamed, "name", network.device);
    });
    await gate.until("the new name", ({ kernel }) => {
      const [place, ...others] = kernel.interfaces.filter(({ attach }) => attach !== "none");
      return place?.name === renamed && others.length === 0;
    });
    await expectReady(all);
    await expectBlocked(all, 4);
    expect(xdpPrograms(network.gate, renamed)).toHaveLength(1);
  });
});

async function mountBpffs(): Promise<void> {
  await run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", "/sys/fs/bpf"]);
}
