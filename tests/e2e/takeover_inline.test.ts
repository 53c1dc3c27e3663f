// SPDX-License-Identifier: Apache-2.0
// A take-over while the kernel judges: whose connection was open before, and had said nothing or not enough, is judged
// all the same; whoever is never banned is so from the first packet on.
import { expect, setDefaultTimeout, test } from "bun:test";
import { RunningGate, xdpPrograms } from "../harness/gate.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { handsOver } from "../harness/takeover.ts";

setDefaultTimeout(60_000);

describeWith("namespaces", "executable", { program: "gcc" })("a take-over in inline mode", () => {
  test("leaves nobody unjudged whose connection is older than it", async () => {
    await using bed = await InlineBed.open();
    const { network, map, clients, sink } = bed;
    await handsOver(bed.gate);
    const silent = await clients.connect(bed.nextIpv4());
    const split = await clients.connect(bed.nextIpv4());
    const friend = await clients.connect(bed.nextIpv6());
    split.send({ bytes: hostile.slice(0, 3) });
    friend.send({ bytes: friendly.slice(0, 9) });
    await friend.acknowledged(9);
    const [program] = xdpPrograms(network.gate, network.device);
    const argv = ["--mode", "inline", "-B", map.name, "-l", "5000", "-i", network.device, "--takeover"];
    await using next = await RunningGate.start(argv, { namespace: network.gate });
    expect(xdpPrograms(network.gate, network.device)).not.toEqual([program]);
    expect(await bed.gate.child.done()).toMatchObject({ code: 0 });
    silent.send({ bytes: hostile });
    split.send({ at: 3, bytes: hostile.slice(3) });
    friend.send({ at: 9, bytes: friendly.slice(9) });
    for (const { ends } of [silent, split]) expect(await next.banned(ends.source)).toMatchObject({ protocol: "http" });
    await sink.got(friend.name, friendly);
    expect(sink.of(silent.name)).toMatchObject({ data: "", end: "ECONNRESET" });
    expect(sink.of(split.name).data.length).toBeLessThan(20);
    expect(await next.ban(friend.ends.source)).toBeUndefined();
    const { kernel } = await next.until("nobody older than the program", ({ kernel: { judged } }) => judged !== null);
    expect(kernel.judged).toMatchObject({ older: 0 });
  });
});
