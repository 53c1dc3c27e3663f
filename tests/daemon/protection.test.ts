// SPDX-License-Identifier: Apache-2.0
// Who is never banned by the configuration alone.
import { describe, expect, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import type { Work } from "../../src/core/work.ts";
import { Protection } from "../../src/daemon/protection.ts";
import { Names } from "../../src/host/names.ts";
import type { NextHops } from "../../src/kernel/next_hops.ts";
import { configWith } from "../harness/config.ts";

const given = {
  listen: "192.0.2.200:5000",
  allow: "198.51.100.0/24",
  "accept-proxy": ["192.0.2.7", "2001:db8::7"],
  upstream: ["unix:/run/server.sock", "app.example:5001", "203.0.113.9:5001"],
};

function* noRoutes(): Work<NextHops> {
  yield;
  return { hops: [], isWhole: true };
}

async function protectedBy(options: object): Promise<string[]> {
  const names = new Names(
    () => {},
    async () => ["203.0.113.4", "2001:db8::4"],
  );
  await names.ask("app.example");
  const protection = new Protection(configWith({ ...given, ...options }), names, () => 1, noRoutes);
  return protection.entries(0).map(({ prefix, why }) => `${prefix.text} ${why}`);
}

const proxies = ["192.0.2.7 --accept-proxy", "2001:db8::7 --accept-proxy"];

test("proxies in front, what is allowed, and where upstreams are", async () => {
  const entries = await protectedBy({});
  expect(entries).toEqual(expect.arrayContaining(["198.51.100.0/24 --allow", ...proxies]));
  expect(entries.filter((entry) => entry.includes("upstream"))).toEqual([
    "203.0.113.4 upstream app.example",
    "2001:db8::4 upstream app.example",
    "203.0.113.9 upstream 203.0.113.9",
  ]);
});

test("with --never-ban none those only that are named for it: a proxy carries everybody", async () => {
  expect(await protectedBy({ "never-ban": "none" })).toEqual(["198.51.100.0/24 --allow", ...proxies]);
});

describe("gateways", () => {
  /** @param readings gateways one after the other; "*" when they changed meanwhile, an Error when they cannot be read. */
  function protectionOf(readings: (string | Error)[], options: object = {}) {
    function* read(): Work<NextHops> {
      yield;
      const reading = readings.shift() ?? new Error("read too often");
      if (reading instanceof Error) throw reading;
      const addresses = reading.replace("*", "").split(" ");
      const hops = addresses.map((address) => ({ prefix: requirePrefix(address), interfaceName: "one" }));
      return { hops, isWhole: !reading.endsWith("*") };
    }
    let version = 1;
    const config = configWith({ ...given, ...options });
    const protection = new Protection(config, new Names(() => {}), () => version, read);
    return {
      change: () => version++,
      look: (nowMs: number) => protection.lookAtRoutes(nowMs),
      known: () => protection.entries(0).flatMap(({ prefix, why }) => (why === "gateway of one" ? [prefix.text] : [])),
    };
  }

  test("are those of the last reading that was whole, and all that were seen since", async () => {
    const { look, known, change } = protectionOf(["10.0.0.1 10.0.0.2", "10.0.0.3*", "10.0.0.1*", "10.0.0.4"]);
    expect(known()).toEqual([]);
    const seen: string[][] = [];
    for (let nowMs = 0; nowMs < 4e6; nowMs += 1e6) {
      change();
      await look(nowMs);
      seen.push(known());
    }
    const [first, second] = [
      ["10.0.0.1", "10.0.0.2"],
      ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    ];
    expect(seen).toEqual([first, second, second, ["10.0.0.4"]]);
  });

  test("stay where they cannot be read, and are read again at once", async () => {
    const { look, known, change } = protectionOf(["10.0.0.1", new Error("EPERM"), "10.0.0.2"]);
    await look(0);
    change();
    expect(look(1e6)).rejects.toThrow("EPERM");
    expect(known()).toEqual(["10.0.0.1"]);
    await look(1e6);
    expect(known()).toEqual(["10.0.0.2"]);
  });

  test("are read again when the network changed, or while they were read", async () => {
    const { look, known, change } = protectionOf(["10.0.0.1*", "10.0.0.2", "10.0.0.3"]);
    for (const nowMs of [0, 1e6, 2e6]) await look(nowMs);
    expect(known()).toEqual(["10.0.0.2"]);
    change();
    for (const nowMs of [3e6, 4e6]) await look(nowMs);
    expect(known()).toEqual(["10.0.0.3"]);
  });

  test("are not read while it costs too much of the time, nor with --never-ban none", async () => {
    const { look, known, change } = protectionOf(["10.0.0.1"]);
    await look(0);
    change();
    await look(0);
    expect(known()).toEqual(["10.0.0.1"]);
    await protectionOf([], { "never-ban": "none" }).look(0);
  });
});
