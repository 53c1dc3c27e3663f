// SPDX-License-Identifier: Apache-2.0
// Which rules hold where tools that list those of a packet filter fail or are missing, and which of them are asked.
import { expect, test } from "bun:test";
import { FilterReader } from "../../src/host/packet_filter/filter_rules.ts";
import { FilterTools, filterTools } from "../harness/filter_tools.ts";

const ofIptables = "-A PREROUTING -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001";
const ofLegacy = ofIptables.replace("5001", "5002");
const where = { family: "ip", table: "nat" };
const ofNft = JSON.stringify({
  nftables: [
    { chain: { ...where, name: "pre", hook: "prerouting" } },
    { rule: { ...where, chain: "pre", expr: [{ redirect: { port: 5001 } }] } },
  ],
});

test("a tool that fails hides its own rules alone, and none that it told of before", async () => {
  using tools = new FilterTools();
  tools.fail("nft");
  tools.answer("iptables-save", ofIptables);
  const reader = new FilterReader(() => []);
  expect([(await reader.read()).ip.length, reader.isStale]).toEqual([1, false]);
  tools.fail("iptables-save");
  expect([(await reader.read()).ip.length, reader.isStale]).toEqual([1, true]);
  tools.answer("nft", ofNft);
  const { nft, ip } = await reader.read();
  expect([nft.length, ip.length, reader.isStale]).toEqual([1, 1, true]);
  tools.answer("iptables-save", "");
  expect([(await reader.read()).ip.length, reader.isStale]).toEqual([0, false]);
});

test("a rule of the legacy iptables holds until its own tool tells, which is said meanwhile", async () => {
  using tools = new FilterTools();
  tools.answer("iptables-legacy-save", ofLegacy);
  let tables = ["nat"];
  const reader = new FilterReader(() => tables);
  expect(await reader.read()).toMatchObject({ ip: [{ line: ofLegacy }], unread: undefined });
  tools.fail("iptables-legacy-save");
  expect(await reader.read()).toMatchObject({
    ip: [{ line: ofLegacy }],
    unread: expect.stringContaining("ended with"),
  });
  tables = [];
  expect(await reader.read()).toMatchObject({ ip: [], unread: undefined });
});

test("where nothing else changed, only the legacy iptables is listed, and all when that did or is missing", async () => {
  using tools = new FilterTools();
  const ofLegacyTools = filterTools.filter((tool) => tool.includes("legacy"));
  tools.answer("iptables-save", ofIptables);
  const reader = new FilterReader(() => ["nat"]);
  await reader.read();
  expect(tools.asked()).toEqual(filterTools);
  expect(await reader.read(false)).toMatchObject({ ip: [{ line: ofIptables }] });
  expect(tools.asked()).toEqual(ofLegacyTools);
  tools.answer("iptables-legacy-save", ofLegacy);
  expect(await reader.read(false)).toMatchObject({ ip: [{ line: ofIptables }, { line: ofLegacy }] });
  expect(tools.asked()).toEqual(filterTools);
  await reader.read(false);
  expect(tools.asked()).toEqual(ofLegacyTools);
  for (const tool of ofLegacyTools) tools.remove(tool);
  expect(await reader.read(false)).toMatchObject({ ip: [{ line: ofIptables }] });
  expect(tools.asked()).toEqual(filterTools.filter((tool) => !tool.includes("legacy")));
});
