// SPDX-License-Identifier: Apache-2.0
// --reject on the wire, seen from the stranger's side: silent is no FIN and no RST, also for what the
// stranger goes on sending; reset is exactly one RST.

import { expect, setDefaultTimeout, test } from "bun:test";
import { Capture, type Segment } from "../harness/capture.ts";
import { Child } from "../harness/child.ts";
import { BlockMap, type Form, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const request = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

interface Scene extends AsyncDisposable {
  readonly network: Network;
  readonly gate: RunningGate;
  readonly capture: Capture;
}

/** @param options the interface is the one that the strangers come by, unless there is another. */
async function scene(form: Form, ...options: readonly string[]): Promise<Scene> {
  const stack = new AsyncDisposableStack();
  try {
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const guarded = options.includes("-i") ? [] : ["-i", network.device];
    const args = ["-B", map.name, ...guarded, ...options];
    const gate = stack.use(await RunningGate.start(args, { namespace: network.gate, form }));
    const capture = stack.use(await Capture.start(network.client, network.clientDevice));
    return { network, gate, capture, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function knock(network: Network, from: string, to = network.gateIpv4): Child {
  return new Child(["nc", "-s", from, to, "5000"], { namespace: network.client, holdInput: true });
}

/** What went out before now has come in: a later answer to somebody else is there. */
async function caughtUp({ network, capture }: Scene): Promise<void> {
  const from = network.clientIpv4(8);
  const seen = capture.segments(from).length;
  await probeFrom(network.client, { host: network.gateIpv4, port: 4, from });
  await waitFor("the answer to a later packet", () => capture.segments(from).length > seen);
}

const ends = (segments: readonly Segment[]) => segments.filter(({ flags }) => /[FR]/.test(flags));

describeWith(
  "namespaces",
  "executable",
  "deno",
)("--reject", () => {
  test.each(["executable", "deno"] as const)("silent sends nothing any more (%s)", async (form) => {
    await using here = await scene(form, "--reject", "silent");
    const { network, gate, capture } = here;
    for (const [from, to] of [
      [network.clientIpv4(3), network.gateIpv4],
      [network.clientIpv6(4), network.gateIpv6],
    ] as const) {
      const dropped = (await gate.status()).kernel.droppedPackets;
      await using stranger = knock(network, from, to);
      stranger.send(request);
      await gate.banned(from);
      stranger.send("still there?\n");
      await gate.until("three retransmissions", ({ kernel }) => kernel.droppedPackets >= dropped + 4);
      expect(stranger.exit).toBeUndefined();
      await stranger.stop();
      await caughtUp(here);
      const segments = capture.segments(from);
      expect(segments.map(({ flags }) => flags)).toContain("SA");
      expect(ends(segments)).toEqual([]);
    }
    const { connections } = await gate.status();
    expect(connections).toMatchObject({ foreign: 2, silenced: 2, notSilenced: 0, active: 0 });
    expect(gate.child.stderr).not.toContain("silently");
  });

  test.each(["executable", "deno"] as const)("silent holds for the source's other connections (%s)", async (form) => {
    await using here = await scene(form, "--reject", "silent", "--user", "nobody");
    const { network, gate, capture } = here;
    const from = network.clientIpv4(3);
    const address = ["--host", network.gateIpv4, "--port", "5000", "--from", from];
    await using friend = await startClient(network.client, ...address);
    await friend.until("an exchange", ({ packets }) => packets > 0);
    await using waiting = knock(network, from);
    await gate.until("an undecided one", ({ connections }) => connections.active === 2);
    await using stranger = knock(network, from);
    stranger.send(request);
    await gate.banned(from);
    await gate.until("the end of all", ({ connections, upstreams }) => {
      return connections.active === 0 && upstreams[0]?.active === 0;
    });
    waiting.send("hello\n");
    await gate.until("retransmissions", ({ kernel }) => kernel.droppedPackets >= 5);
    await caughtUp(here);
    expect(ends(capture.segments(from))).toEqual([]);
    expect((await gate.status()).connections).toMatchObject({ cut: 2, silenced: 3, notSilenced: 0 });

    const banned = network.clientIpv4(5);
    await using other = knock(network, banned);
    await gate.until("one more", ({ connections }) => connections.active === 1);
    expect(await gate.command("ban", banned)).toMatchObject({ code: 0 });
    await gate.until("its end", ({ connections }) => connections.active === 0);
    other.send("hello\n");
    await caughtUp(here);
    expect(ends(capture.segments(banned))).toEqual([]);
  });

  test("silent holds for who is refused on arrival; what he sends an interface without guard answers", async () => {
    await using here = await scene("executable", "--reject", "silent", "-i", "lo");
    const { network, gate, capture } = here;
    const from = network.clientIpv4(3);
    expect(await gate.command("ban", from)).toMatchObject({ code: 0 });
    await using stranger = knock(network, from);
    await gate.until("a refused one", ({ connections }) => connections.refusedBanned === 1);
    await caughtUp(here);
    expect(capture.segments(from).map(({ flags }) => flags)).toEqual(["SA"]);
    expect((await gate.status()).connections).toMatchObject({ silenced: 1, notSilenced: 0, active: 0 });
    stranger.send("hello\n");
    await stranger.done();
    await caughtUp(here);
    expect(ends(capture.segments(from)).map(({ flags }) => flags)).toEqual(["R"]);
  });

  test.each(["executable", "deno"] as const)("reset is exactly one RST (%s)", async (form) => {
    await using here = await scene(form);
    const { network, gate, capture } = here;
    const from = network.clientIpv4(3);
    await using stranger = knock(network, from);
    stranger.send(request);
    await gate.banned(from);
    await stranger.done();
    await caughtUp(here);
    expect(ends(capture.segments(from)).map(({ flags }) => flags)).toEqual(["RA"]);
    expect((await gate.status()).connections).toMatchObject({ foreign: 1, silenced: 0, notSilenced: 0 });
  });

  test("under silent a source that is spared is reset, as nothing would keep it silent", async () => {
    await using here = await scene("executable", "--reject", "silent", "--allow", "10.77.1.3");
    const { network, gate, capture } = here;
    const from = network.clientIpv4(3);
    await using stranger = knock(network, from);
    stranger.send(request);
    await stranger.done();
    await caughtUp(here);
    expect(ends(capture.segments(from)).map(({ flags }) => flags)).toEqual(["RA"]);
    expect((await gate.status()).connections).toMatchObject({ spared: 1, silenced: 0, notSilenced: 0 });
  });

  test("silence ends with the ban: the kernel knows no such connection", async () => {
    await using here = await scene("executable", "--reject", "silent");
    const { network, gate, capture } = here;
    const from = network.clientIpv4(3);
    await using stranger = knock(network, from);
    stranger.send(request);
    await gate.banned(from);
    // Without the block a retransmission meets a kernel that knows no such connection.
    expect(await gate.command("lift", from)).toMatchObject({ code: 0 });
    stranger.send("still there?\n");
    await stranger.done();
    await caughtUp(here);
    expect(ends(capture.segments(from)).map(({ flags }) => flags)).toEqual(["R"]);
  });

  test("silent wants the kernel block", async () => {
    await using gate = new Child(ttgate(["--reject", "silent", "-s", "off"]));
    const { code, stderr } = await gate.done();
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr:
        'ttgate: Invalid --reject "silent": only a kernel that blocks the source keeps silent, name its map with --block-map\n',
    });
  });
});
