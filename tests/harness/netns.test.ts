// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Child, run } from "./child.ts";
import { describeWith } from "./needs.ts";
import { Network } from "./netns.ts";
import { probeFrom } from "./probe.ts";
import { startServer } from "./standin.ts";
import { waitFor } from "./wait.ts";

function namespaces(network: { gate: string; client: string }): string[] {
  return readdirSync("/run/netns").filter((name) => name === network.gate || name === network.client);
}

describeWith("namespaces")("a throwaway network", () => {
  test("joins two namespaces over IPv4 and IPv6, from each client address", async () => {
    using network = new Network({ clients: 2 });
    await using server = await startServer(network.gate, "--host", "::", "--port", "5000");
    for (const [host, from] of [
      [network.gateIpv4, network.clientIpv4(2)],
      [network.gateIpv6, network.clientIpv6(2)],
    ] as const) {
      expect(await probeFrom(network.client, { host, port: 5000, from, waitMs: 100 })).toMatchObject({
        outcome: "open",
      });
    }
    await server.until("both connections", ({ connections }) => connections === 2);
  });

  test("goes away with its scope, also when that ends with an error", () => {
    let names = { gate: "", client: "" };
    expect(() => {
      using network = new Network();
      names = { gate: network.gate, client: network.client };
      expect(namespaces(names)).toHaveLength(2);
      throw new Error("on purpose");
    }).toThrow("on purpose");
    expect(namespaces(names)).toEqual([]);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("goes away on %s", async (signal) => {
    const script = `
      const { Network } = await import(${JSON.stringify(join(import.meta.dirname, "netns.ts"))});
      const { gate, client } = new Network();
      console.log(JSON.stringify({ gate, client }));
      setInterval(() => {}, 1000);`;
    await using child = new Child([process.execPath, "-e", script]);
    const [line] = await child.said(/^\{.*\}$/m);
    const names = JSON.parse(line) as { gate: string; client: string };
    expect(namespaces(names)).toHaveLength(2);
    child.signal(signal);
    expect((await child.done()).code).toBe(signal === "SIGINT" ? 130 : 143);
    await waitFor("no namespaces", () => namespaces(names).length === 0);
  });

  test("runs a program inside, with the host's bpf file system", async () => {
    using network = new Network();
    const inside = await run(["stat", "-f", "-c", "%T", "/sys/fs/bpf"], { namespace: network.gate });
    const outside = await run(["stat", "-f", "-c", "%T", "/sys/fs/bpf"]);
    expect(inside).toEqual(outside);
    const links = await run(["ip", "-br", "link"], { namespace: network.gate });
    expect(links.stdout).toContain(network.device);
    expect(links.stdout).not.toContain("eth0");
  });
});
