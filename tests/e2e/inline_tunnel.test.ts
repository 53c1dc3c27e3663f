// SPDX-License-Identifier: Apache-2.0
// Devices whose frames begin with the IP header, as those of tun and WireGuard do: judged and blocked as on
// Ethernet, by generic XDP and by tc, and proven with such frames.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Child } from "../harness/child.ts";
import { attachForeign } from "../harness/foreign_xdp.ts";
import { fragmentsOf } from "../harness/fragments.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, type Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { compileC } from "../harness/raw_tcp.ts";
import { ack, joined, psh, urg } from "../harness/tcp_frame.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

/** ARPHRD_IPGRE of linux/if_arp.h: there the outer IP header and GRE's come first. */
const ipGreType = 778;

describeWith("namespaces", "executable")("behind a tunnel", () => {
  test("strangers are banned, blocked and reset; friends are served", async () => {
    await using bed = await InlineBed.open({ tunnel: true });
    const { kernel } = await bed.gate.status();
    expect(kernel.interfaces).toMatchObject([{ name: "ttgtun0", attach: "generic" }]);
    expect(kernel.proof).toEqual({ passed: true, failure: null });
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      const friend = await bed.clients.connect(next());
      friend.send({ bytes: friendly.slice(0, 5) }, { at: 5, bytes: friendly.slice(5) });
      await bed.sink.got(friend.name, friendly);
      const stranger = await bed.clients.connect(next());
      stranger.send({ bytes: hostile });
      await bed.gate.banned(stranger.ends.source);
      expect(await bed.sink.ended(stranger.name)).toBe("ECONNRESET");
      expect(bed.sink.of(stranger.name).data).toBe("");
      // A new connection of it is not answered.
      const again = bed.clients.ends(stranger.ends.source);
      const before = (await bed.gate.status()).kernel.droppedPackets;
      bed.clients.sendFrames(stranger.frame({ bytes: hostile }));
      await bed.gate.until("a packet dropped", ({ kernel: { droppedPackets } }) => droppedPackets > before);
      expect(bed.clients.of(again)).toEqual([]);

      const hidden = await bed.clients.connect(next());
      const counts = bed.counts();
      bed.clients.sendFrames(...fragmentsOf(hidden.frame({ bytes: hostile }), [24]));
      await bed.counted("fragment", counts);
      const urgent = await bed.clients.connect(next());
      urgent.send({ bytes: joined([0x47, 0x58], hostile.slice(1)), flags: ack | psh | urg, urgent: 2 });
      await bed.counted("urgent", counts);
      await sleep(200);
      expect(bed.sink.of(urgent.name).data).not.toBe(hostile.toHex());
    }
  });

  test("the same by tc, where XDP is taken", async () => {
    await using bed = await InlineBed.open({
      tunnel: true,
      before: ({ network, map }) => attachForeign({ gate: network.gate, device: "ttgtun0" }, map),
    });
    const { kernel } = await bed.gate.status();
    expect(kernel.interfaces).toMatchObject([{ name: "ttgtun0", attach: "tc" }]);
    expect(kernel.proof).toEqual({ passed: true, failure: null });
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      const friend = await bed.clients.connect(next());
      friend.send({ bytes: friendly.slice(0, 5), flags: ack | urg, urgent: 2 }, { at: 5, bytes: friendly.slice(5) });
      await bed.sink.got(friend.name, friendly);
      const stranger = await bed.clients.connect(next());
      stranger.send({ bytes: hostile });
      await bed.gate.banned(stranger.ends.source);
      expect(bed.sink.of(stranger.name).data).toBe("");
    }
  });

  test("headers that are not read are said, and nothing is called guarded", async () => {
    using directory = new TempDir();
    await using stack = new AsyncDisposableStack();
    await using bed = await InlineBed.open({
      gate: ["-i", "ttgodd0"],
      before: async ({ network }) => {
        const argv = [compileC("tun", directory), "ttgodd0", String(ipGreType)];
        const tunnel = stack.use(new Child(argv, { namespace: network.gate, holdInput: true }));
        await tunnel.said(/^ready/);
      },
    });
    const { kernel } = await bed.gate.status();
    expect(kernel.interfaces).toMatchObject([
      { attach: "native" },
      {
        name: "ttgodd0",
        attach: "none",
        reason: "its frames begin with headers that are not read here (hardware type 778)",
      },
    ]);
    expect(kernel.attach).toBe("none");
    // Nor later, when it is looked whether XDP has become free.
    await sleep(1500);
    expect((await bed.gate.status()).kernel.attach).toBe("none");
  });

  for (const [name, gate] of [
    ["in UDP: judged on its own device", ["-i", "ttgvx0"]],
    ["in UDP that is not guarded: what comes through it is told", []],
  ] as const) {
    test(name, async () => {
      await using bed = await InlineBed.open({ gate, before: async ({ network }) => openVxlan(network) });
      const visit = (send: Uint8Array) =>
        probeFrom(bed.network.client, { host: "10.88.0.1", port: 5000, from: "10.88.0.2", send: [send], waitMs: 500 });
      const heard = (bytes: Uint8Array) => bed.sink.lines().some((line) => line.endsWith(` ${bytes.toHex()}`));
      await visit(friendly);
      await waitFor("the friend's bytes", () => heard(friendly));
      await visit(hostile);
      if (gate.length > 0) {
        await bed.gate.banned("10.88.0.2");
        expect(heard(hostile)).toBe(false);
        expect((await visit(friendly)).outcome).toBe("no answer");
      } else {
        await waitFor("the stranger's bytes", () => heard(hostile));
        const { kernel } = await bed.gate.until("both told", (status) => status.kernel.unseen?.connections === 2);
        const why = "this interface is not guarded: add --interface ttgvx0";
        expect(kernel.unseen?.last).toMatchObject({ source: "10.88.0.2", interface: "ttgvx0", why });
      }
    });
  }
});

/** From the gate's end of the network to the clients'. */
function openVxlan({ gate, gateIpv4, device, client, clientDevice }: Network): void {
  for (const [namespace, below, local, remote, address] of [
    [gate, device, gateIpv4, "10.77.1.1", "10.88.0.1"],
    [client, clientDevice, "10.77.1.1", gateIpv4, "10.88.0.2"],
  ] as const) {
    const ends = ["local", local, "remote", remote, "dev", below, "dstport", "4789"];
    ip("-n", namespace, "link", "add", "ttgvx0", "type", "vxlan", "id", "7", ...ends);
    ip("-n", namespace, "address", "add", `${address}/24`, "dev", "ttgvx0");
    ip("-n", namespace, "link", "set", "ttgvx0", "up");
  }
}
