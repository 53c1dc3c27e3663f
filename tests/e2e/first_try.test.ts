// SPDX-License-Identifier: Apache-2.0
// The first thing that people do with a gate on their own machine is to ask it with curl. That must not lock them
// out, and the log must say what happened and how to get out where it does.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Loopback } from "../commands/bed.ts";
import { run } from "../harness/child.ts";
import { RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

const noConfig = ["-c", "/dev/null"];

describeWith("executable", "namespaces")("on one's own machine", () => {
  test.each([
    ["everywhere", "5000"],
    ["on loopback alone", "localhost:5000"],
  ])("curl against a gate that listens %s bans nobody, and the log says why", async (_where, listen) => {
    using loopback = new Loopback();
    await using _server = await startServer(loopback.name, "--port", "5001");
    await using gate = await RunningGate.start(["-l", listen, ...noConfig], { namespace: loopback.name });
    for (let time = 0; time < 3; time++) {
      const { code, stderr } = await run(["curl", "-sS", "-m", "5", "http://127.0.0.1:5000/"], {
        namespace: loopback.name,
      });
      expect([code, stderr]).toEqual([56, expect.stringMatching(/reset|closed/i)]);
    }
    const { bans, connections } = await gate.status();
    expect([bans.total, connections.spared, connections.refusedBanned]).toEqual([0, 3, 0]);
    await gate.child.said(
      /Did not ban 127\.0\.0\.1: it spoke http to port 5000, [^\n]*, but 127\.0\.0\.0\/8 is never banned \(loopback\); --never-ban none bans loopback too\n/,
    );
  });

  test("who asked for it is banned, and told how it ends; once", async () => {
    using loopback = new Loopback();
    const flags = ["-l", "5000", "--never-ban", "none", ...noConfig];
    await using gate = await RunningGate.start(flags, { namespace: loopback.name });
    for (const from of ["127.0.0.1", "127.0.0.2"]) {
      await run(["curl", "-sS", "-m", "5", "--interface", from, "http://127.0.0.1:5000/"], {
        namespace: loopback.name,
      });
      await gate.banned(from);
    }
    await gate.child.said(/Banned 127\.0\.0\.2/);
    await gate.child.said(/Banned 127\.0\.0\.1 for 10m: [^\n]*; "ttgate lift 127\.0\.0\.1" ends it early\n/);
    expect(gate.child.stderr.match(/ends it early/g)).toHaveLength(1);
    expect(await gate.command("lift", "127.0.0.1")).toMatchObject({ code: 0 });
    expect(await gate.ban("127.0.0.1")).toBeUndefined();
  });
});

describeWith("executable", "namespaces")("a link-local address", () => {
  test("is listened on by its interface, and banned and lifted with it or without", async () => {
    using network = new Network();
    const linkLocal = async (namespace: string, device: string) => {
      const { stdout } = await run(["ip", "-j", "-6", "address", "show", "dev", device, "scope", "link"], {
        namespace,
      });
      const [found] = JSON.parse(stdout) as { addr_info: { local: string }[] }[];
      return found?.addr_info.find(({ local }) => local?.startsWith("fe80"))?.local ?? "";
    };
    const own = await linkLocal(network.gate, network.device);
    const client = await linkLocal(network.client, network.clientDevice);
    const listen = `[${own}%${network.device}]:5000`;
    await using _server = await startServer(network.gate, "--port", "5001");
    await using gate = await RunningGate.start(["-l", listen, ...noConfig], { namespace: network.gate });
    const [from, to] = [client, own].map((address) => `${address}%${network.clientDevice}`) as [string, string];
    // Listening begins when the kernel is sure that nobody else has the address.
    const request = { namespace: network.client, input: "GET / HTTP/1.0\r\n\r\n" };
    await waitFor("a connection", async () => (await run(["nc", "-6w2", "-s", from, to, "5000"], request)).code === 0);
    // The network of the gate's own address is never banned: the single address is.
    expect(await gate.banned(client)).toMatchObject({ source: client, protocol: "http" });
    const zoned = `${client}%${network.device}`;
    expect((await gate.command("why", zoned)).stdout).toContain(`${client} is banned`);
    expect(await gate.command("lift", zoned)).toMatchObject({ code: 0, stdout: `Lifted ${client}\n` });
    expect(await gate.command("ban", "2001:db8::1%eth0")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Invalid address "2001:db8::1%eth0"'),
    });
  });
});
