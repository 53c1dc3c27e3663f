// SPDX-License-Identifier: Apache-2.0
// What is nearly the expected protocol is refused and no ban until it was too often; one byte never is: the same in
// both modes.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { sleep } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const text = (value: string) => new TextEncoder().encode(value);
const port = 5000;
/** `strikes` of the profile. */
const limit = 5;
/** In the kernel, silence takes 10 s and a look every two. */
const silenceMs = { proxy: 2500, prefilter: 2500, inline: 13_000 } as const;

describeWith("namespaces", "executable", { program: "python3" })("before a mail server", () => {
  test.each(["proxy", "prefilter", "inline"] as const)("%s", async (mode) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    const place = mode === "inline" ? ["0.0.0.0", String(port)] : ["127.0.0.1", "5001"];
    const script = join(import.meta.dirname, "../harness/greeter.py");
    const server = stack.use(new Child(["python3", script, "smtp", ...place], { namespace: network.gate }));
    await server.said(/ready/);
    const how = { proxy: [], prefilter: ["--prefilter"], inline: ["-m", "inline"] }[mode];
    const pause = mode === "inline" ? [] : ["--first-packet", "1s"];
    const options = ["-p", "smtp", "-B", map.name, "-i", network.device, ...how, ...pause];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const visit = (client: number, send: readonly Uint8Array[], waitMs = 4000) =>
      probeFrom(network.client, { host: network.gateIpv4, port, from: network.clientIpv4(client), send, waitMs });

    // One byte and silence, of every kind that was taken for text or a list ping, far more often than the limit.
    const bytes = [0x0a, 0x0d, 0xfe, 0x00, 0x47, 0x16, 0x80];
    const cutOff = Promise.all(bytes.map((byte) => visit(1, [Uint8Array.of(byte)], silenceMs[mode])));

    for (let count = 1; count < limit; count++) {
      const { outcome } = await visit(2, [text("FROB x\r\n")]);
      expect([count, ["ended", "reset"].includes(outcome)]).toEqual([count, true]);
    }
    // In pieces too, and whoever is welcome is forgiven or has none.
    await visit(3, [text("FR"), text("OB x\r\n")]);
    await visit(3, [text("QUIT\r\n")]);
    const seen = await gate.until("five near misses", ({ connections }) => connections.undecided >= limit);
    expect(seen.connections.foreign).toBe(0);
    expect(await gate.bans()).toEqual([]);
    const { stdout } = await gate.command("why", network.clientIpv4(2));
    expect(stdout).toContain(`undecided: ${limit - 1} connections in ten minutes`);
    await visit(2, [text("FROB x\r\n")]);
    expect(await gate.banned(network.clientIpv4(2))).toMatchObject({ protocol: "undecided" });
    expect((await visit(2, [text("EHLO me\r\n")], 300)).outcome).toBe("no answer");

    await cutOff;
    await sleep(500);
    expect((await gate.bans()).map(({ source }) => source)).toEqual([network.clientIpv4(2)]);
    expect(server.stdout).toContain("heard QUIT");
    expect(server.stdout).not.toContain("FROB");
  });
});
