// SPDX-License-Identifier: Apache-2.0
// Who is never banned by the configuration alone.
import { expect, test } from "bun:test";
import { configSchema } from "../../src/config/options.ts";
import { Protection } from "../../src/daemon/protection.ts";
import { Names } from "../../src/host/names.ts";

const given = {
  listen: "192.0.2.200:5000",
  allow: "198.51.100.0/24",
  "accept-proxy": ["192.0.2.7", "2001:db8::7"],
  upstream: ["unix:/run/server.sock", "app.example:5001", "203.0.113.9:5001"],
};

async function protectedBy(options: object): Promise<string[]> {
  const names = new Names(
    () => {},
    async () => ["203.0.113.4", "2001:db8::4"],
  );
  await names.ask("app.example");
  const protection = new Protection(configSchema.parse({ ...given, ...options }), names);
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
