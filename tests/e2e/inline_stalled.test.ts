// SPDX-License-Identifier: Apache-2.0
// Inline mode and those who end or stall before their first bytes are enough: the kernel never learns of it.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlockMap, notBuilt, RunningGate } from "../harness/gate.ts";
import { friendly } from "../harness/inline_bed.ts";
import { Network, noNamespaces } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

const reason = noNamespaces() ?? notBuilt();
if (reason !== undefined) console.log(`Skipped tests/e2e/inline_stalled: ${reason}`);

setDefaultTimeout(60_000);

const text = (value: string) => new TextEncoder().encode(value);

describe.skipIf(reason !== undefined)("who ends or stalls undecided", () => {
  test("is banned for what it said, or has a strike, but for a source with a connection that passed", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--host", "::", "--port", "5000"));
    const flags = ["-m", "inline", "-B", map.name, "-l", "5000", "-i", network.device];
    const gate = stack.use(await RunningGate.start(flags, { namespace: network.gate }));
    const visit = (client: number, ...send: Uint8Array[]) =>
      probeFrom(network.client, {
        ...{ host: network.gateIpv4, port: 5000, from: network.clientIpv4(client), send },
        ...{ fin: true, waitMs: 300 },
      });

    const short = network.clientIpv4(2);
    const welcome = network.clientIpv4(3);
    const named = network.clientIpv4(4);
    await visit(3, friendly);
    for (let connection = 0; connection < 3; connection++) {
      await visit(2, text("TT01"));
      await visit(3, text("TT01"));
    }
    // Text without a line end, shorter than any packet of a friend's.
    await visit(4, text("hello there 1234"));
    // What no recogniser knows, foreign at once, and with its evidence.
    const unknown = network.clientIpv4(5);
    await visit(
      5,
      Uint8Array.from({ length: 60 }, (_, at) => (at % 4 === 3 ? 7 + at : 0)),
    );
    expect((await gate.banned(unknown)).protocol).toBe("binary");
    expect((await gate.command("why", unknown)).stdout).toMatch(/told by: {2}no ciphertext: the expert "binary" held/);

    // The time for a first packet, and a look every two seconds.
    await waitFor("three bans", async () => (await gate.bans()).length === 3, 30_000);
    expect((await gate.banned(named)).protocol).toBe("text");
    expect((await gate.banned(short)).protocol).toBe("undecided");
    expect((await gate.bans()).map(({ source }) => source).sort()).toEqual([short, named, unknown].sort());
    expect((await gate.command("why", welcome)).stdout).toContain("is not banned");
    expect((await visit(2, text("TT01"))).outcome).toBe("no answer");
  });
});
