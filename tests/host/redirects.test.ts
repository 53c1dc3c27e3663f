// SPDX-License-Identifier: Apache-2.0
// Which rules of a packet filter lead to the guarded port, from what nft and iptables-save say.
import { expect, test } from "bun:test";
import { iptablesRedirects, nftRedirects } from "../../src/host/redirects.ts";

function nft(...expressions: readonly object[]): string {
  const rule = { family: "ip", table: "nat", chain: "pre", handle: 2, expr: expressions };
  return JSON.stringify({ nftables: [{ metainfo: { version: "1.0.6" } }, { table: { name: "nat" } }, { rule }] });
}

function dport(right: unknown): object {
  return { match: { op: "==", left: { payload: { protocol: "tcp", field: "dport" } }, right } };
}

function texts(rules: readonly { readonly text: string }[]): readonly string[] {
  return rules.map(({ text }) => text);
}

test.each([
  ["tcp dport 8080 redirect to :5000", [dport(8080), { redirect: { port: 5000 } }]],
  ["tcp dport { 81, 82 } dnat to :5000", [dport({ set: [81, 82] }), { dnat: { addr: "10.0.0.1", port: 5000 } }]],
  ["tcp dport 5000 dnat", [dport(5000), { dnat: { addr: "10.0.0.1" } }]],
  [
    "tcp dport 4000-6000 redirect to :4990-5010",
    [dport({ range: [4000, 6000] }), { redirect: { port: { range: [4990, 5010] } } }],
  ],
  ["tcp dport 80 tproxy to :5000", [dport(80), { tproxy: { port: 5000 } }]],
])("nft: %s leads to port 5000", (text, expressions) => {
  expect(texts(nftRedirects(nft(...expressions), 5000))).toEqual([`nft table ip nat, chain pre: ${text}`]);
});

test.each([
  ["another port", nft(dport(8080), { redirect: { port: 5001 } })],
  ["no redirect", nft(dport(5000), { accept: null })],
  ["the redirect of another port, which is kept", nft(dport(80), { dnat: { addr: "10.0.0.1" } })],
  ["a target of iptables", nft(dport(8081), { xt: { type: "target", name: "REDIRECT" } })],
  ["no JSON", "# Warning: no rights"],
  ["nothing", ""],
  ["other JSON", '{"nftables": 5}'],
])("nft: %s does not", (_name, json) => {
  expect(nftRedirects(json, 5000)).toEqual([]);
});

test("iptables: redirects, destination NAT and transparent proxying to the port, and no others", () => {
  const leading = [
    "-A PREROUTING -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 5000",
    "-A PREROUTING -p tcp -m tcp --dport 8082 -j DNAT --to-destination 10.0.0.1:5000",
    "-A PREROUTING -p tcp -m tcp --dport 8082 -j DNAT --to-destination [fd00::1]:4990-5010",
    "-A PREROUTING -p tcp -m tcp --dport 5000 -j DNAT --to-destination 10.0.0.1",
    "-A PREROUTING -p tcp -m tcp --dport 80 -j TPROXY --on-port 5000 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1",
  ];
  const others = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    "-A INPUT -p tcp -m tcp --dport 5000 -j ACCEPT",
    "-A PREROUTING -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001",
    "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1",
    "COMMIT",
  ];
  const found = iptablesRedirects([...others, ...leading, ""].join("\n"), 5000);
  expect(texts(found)).toEqual(leading.map((line) => `iptables ${line}`));
});
