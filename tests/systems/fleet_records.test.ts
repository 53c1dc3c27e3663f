// SPDX-License-Identifier: Apache-2.0
// More records of a gate with the engine than it reads in one go: what is there is not announced again. In this process,
// so that "more" is some hundred.
import { expect, setDefaultTimeout, test } from "bun:test";
import { type FleetAddress, parseFleetAddress } from "../../src/config/fleet_address.ts";
import { prefixFromWords } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../src/core/counters.ts";
import { FleetTable } from "../../src/core/fleet/fleet_table.ts";
import { Fleet } from "../../src/sources/fleet/fleet.ts";
import { describeWith } from "../harness/needs.ts";
import { RedisServer } from "../harness/redis.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const nowMs = () => performance.now();

function addressOf(url: string): FleetAddress {
  const address = parseFleetAddress(url);
  if (address === undefined) throw new Error(`No address of an engine: ${url}`);
  return address;
}

function gateOf(name: string, url: string, readAtMost: number) {
  const enforcement = new Enforcement(new Bans(100_000, 64), new NeverBan(), undefined, newBanCounters());
  const limits = { trusts: () => true, named: () => [], rate: () => 1_000_000, most: () => 2000, room: () => 100_000 };
  const table = new FleetTable({ enforcement, gate: name, ...limits });
  enforcement.follow(table);
  const secrets = { password: undefined, ca: undefined, cert: undefined, key: undefined };
  const fleet = new Fleet({
    ...{ address: addressOf(url), secrets: () => secrets, name: "ttgate", gate: name, version: "0" },
    ...{ table, ...limits, readAtMost, bans: () => enforcement.bans.size, nowMs, log: () => {} },
  });
  return { enforcement, table, fleet };
}

describeWith({ program: "redis-server" })("records of a gate", () => {
  test("beyond what is read of it: those that are missing are announced again, and no others", async () => {
    await using redis = await RedisServer.start();
    const records = "ttgate:{ttgate}:one:records";
    const { enforcement, table, fleet } = gateOf("one", redis.url, 500);
    const ban = (from: number, count: number) =>
      enforcement.banMany(
        Array.from({ length: count }, (_, index) => ({
          ...{ prefix: prefixFromWords([0, 0, 0xffff, 0x0a000000 + from + index]), reason: "http" },
          ...{ origin: "sniffer" as const, untilMs: nowMs() + 3_600_000 },
        })),
        nowMs(),
      );
    ban(0, 1500);
    fleet.start();
    try {
      await waitFor("all of them", async () => Number(await redis.cli("hlen", records)) === 1500);
      await waitFor("nothing to wait", () => table.own.waiting === 0 && fleet.view().state === "joined");
      const before = fleet.view().announced;
      await redis.cli("hdel", records, "10.0.0.7", "10.0.3.9");
      await waitFor("both again", async () => Number(await redis.cli("hlen", records)) === 1500);
      // The next sign of life finds as many as there were: all was compared then.
      const seen = () => redis.cli("hget", "ttgate:{ttgate}:one:about", "seen");
      const then = await seen();
      await waitFor("it", async () => (await seen()) !== then && table.own.waiting === 0);
      expect(fleet.view().announced - before).toBe(2);
      // One that comes later has all of them, which are more than the first pages.
      const other = gateOf("two", redis.url, 500);
      other.fleet.start();
      try {
        await waitFor("the other one", () => other.enforcement.bans.size === 1500);
      } finally {
        await other.fleet.close();
      }
    } finally {
      await fleet.close();
    }
  });
});
