// SPDX-License-Identifier: Apache-2.0
// Strangers to one another who share a /64: all of IPv4 behind NAT64, all clients of a Teredo server. One of them
// speaks HTTP, and is banned alone, by each judge and by each fence.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const networks: readonly (readonly [name: string, route: string, stranger: string, customer: string])[] = [
  ["NAT64", "64:ff9b::/96", "64:ff9b::c633:6401", "64:ff9b::c633:6402"],
  ["NAT64 of a site", "64:ff9b:1::/48", "64:ff9b:1:7::c633:6401", "64:ff9b:1:7::c633:6402"],
  ["Teredo", "2001::/32", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378:8000:63bf:3fff:fdd1"],
];

const ways: readonly (readonly [name: string, options: readonly string[], serverPort: string])[] = [
  ["XDP", ["-u", "[::1]:5001"], "5001"],
  ["nftables", ["--fence", "nftables", "-u", "[::1]:5001"], "5001"],
  ["the judge in XDP", ["--mode", "inline"], "5000"],
];

describeWith("namespaces", "executable").each([...ways])("by %s", (_, options, serverPort) => {
  test.each([...networks])(
    "%s: one address is banned, its neighbour is not",
    async (_name, route, stranger, customer) => {
      await using stack = new AsyncDisposableStack();
      const map = stack.use(new BlockMap());
      const network = stack.use(new Network());
      for (const address of [stranger, customer]) {
        ip("-n", network.client, "address", "add", `${address}/128`, "dev", network.clientDevice, "nodad");
      }
      ip("-n", network.gate, "-6", "route", "add", route, "dev", network.device);
      stack.use(await startServer(network.gate, "--host", "::", "--port", serverPort));
      const gateOptions = ["-B", map.name, "-i", network.device, "-t", "5m", ...options];
      const gate = stack.use(await RunningGate.start(gateOptions, { namespace: network.gate }));
      const knock = (from: string) =>
        probeFrom(network.client, { host: network.gateIpv6, port: 5000, from, waitMs: 400 });

      const url = `http://[${network.gateIpv6}]:5000/`;
      const curl = ["curl", "-sS", "--max-time", "2", "--interface", stranger, url];
      const banned = await waitFor("the ban", async () => {
        await run(curl, { namespace: network.client });
        return gate.ban(stranger);
      });
      expect(banned.source).toBe(stranger);
      await gate.until("the kernel's entry", ({ kernel }) => kernel.entries === 1);
      expect([(await knock(stranger)).outcome, (await knock(customer)).outcome]).toEqual(["no answer", "open"]);
      expect(await gate.ban(customer)).toBeUndefined();

      await gate.command("lift", stranger);
      expect((await knock(stranger)).outcome).toBe("open");
      const whole = stranger.replace(/:[^:]*:[^:]*$/, ":0:0/96");
      expect(await gate.command("ban", whole)).toMatchObject({ code: 1, stderr: expect.stringContaining("--force") });
      expect((await gate.command("ban", whole, "--force")).code).toBe(0);
      await gate.until("the range in the kernel", ({ kernel }) => kernel.entries === 1);
      expect([(await knock(stranger)).outcome, (await knock(customer)).outcome]).toEqual(["no answer", "no answer"]);
      expect((await gate.command("lift", whole)).code).toBe(0);
      expect((await knock(customer)).outcome).toBe("open");
    },
  );
});
