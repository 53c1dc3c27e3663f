// SPDX-License-Identifier: Apache-2.0
// Which rules of a packet filter lead to the guarded port, or away from it, from what nft and iptables-save say.
import { expect, test } from "bun:test";
import process from "node:process";
import { diversionsFrom, handshakeProxies } from "../../src/host/packet_filter/filter_rules.ts";
import { iptablesDiversions, iptablesRedirects, parseIptables } from "../../src/host/packet_filter/iptables.ts";
import { nftDiversions, nftRedirects, parseNft } from "../../src/host/packet_filter/nft.ts";

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
  [
    "tcp dport { 81, 82 } dnat to 10.0.0.1:5000",
    [dport({ set: [81, 82] }), { dnat: { addr: "10.0.0.1", port: 5000 } }],
  ],
  ["tcp dport 5000 dnat to 10.0.0.1", [dport(5000), { dnat: { addr: "10.0.0.1" } }]],
  [
    "tcp dport 4000-6000 redirect to :4990-5010",
    [dport({ range: [4000, 6000] }), { redirect: { port: { range: [4990, 5010] } } }],
  ],
  ["tcp dport 80 tproxy to :5000", [dport(80), { tproxy: { port: 5000 } }]],
])("nft: %s leads to port 5000", (text, expressions) => {
  expect(texts(nftRedirects(parseNft(nft(...expressions)), 5000))).toEqual([`nft table ip nat, chain pre: ${text}`]);
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
  expect(nftRedirects(parseNft(json), 5000)).toEqual([]);
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
  const found = iptablesRedirects(parseIptables([...others, ...leading, ""].join("\n")), 5000);
  expect(texts(found)).toEqual(leading.map((line) => `iptables ${line}`));
});

const own = ["192.0.2.1", "192.0.2.2"];
const guarded = {
  ...{ port: 5000, ports: [5000, 6000], families: ["ip"] as const },
  isOwn: (address: string) => own.includes(address),
  isListenedTo: (address: string) => address === own[0] || address === "127.0.0.1",
  comesBy: (isMatched: (interfaceName: string) => boolean) => isMatched("eth0"),
};

type Place = "hook" | "ingress" | "input" | "forward" | "output" | "jumped" | "own" | "alone";

/** As `nft`, in a chain that is at a hook, or that one of those leads to what comes or what this host sends, or neither. */
function chained(place: Place, ...expressions: readonly object[]): string {
  const where = { family: "ip", table: "nat" };
  const hook =
    place === "hook" ? { hook: "prerouting" } : ["jumped", "own", "alone"].includes(place) ? {} : { hook: place };
  const first = { chain: { ...where, name: "first", hook: place === "own" ? "output" : "prerouting" } };
  const jump = { rule: { ...where, chain: "first", expr: [{ jump: { target: "pre" } }] } };
  const led = ["jumped", "own"].includes(place) ? [first, jump] : [];
  const chain = { chain: { ...where, name: "pre", ...hook } };
  return JSON.stringify({
    nftables: [chain, ...led, { rule: { ...where, chain: "pre", expr: expressions } }],
  });
}

function udp(field: string): object {
  return { match: { op: "==", left: { payload: { protocol: "udp", field } }, right: 5000 } };
}

function meta(key: string, op: string, right: string): object {
  return { match: { op, left: { meta: { key } }, right } };
}

/** What changes a packet's field. */
function set(protocol: string, field: string, value: unknown): object {
  return { mangle: { key: { payload: { protocol, field } }, value } };
}

function address(field: "saddr" | "daddr", right: string): object {
  return { match: { op: "==", left: { payload: { protocol: "ip", field } }, right } };
}

function ipProtocol(right: string): object {
  return { match: { op: "==", left: { payload: { protocol: "ip", field: "protocol" } }, right } };
}

const elsewhere = { dnat: { addr: "198.51.100.9" } };
const local = { match: { op: "==", left: { fib: { result: "type", flags: ["daddr"] } }, right: "local" } };

test.each([
  ["a redirect to another port", true, chained("hook", dport(5000), { redirect: { port: 5001 } })],
  ["by a chain that is jumped to", true, chained("jumped", dport(5000), { counter: null }, elsewhere)],
  ["of what is for this host", true, chained("hook", local, meta("l4proto", "==", "tcp"), dport(5000), elsewhere)],
  ["of what is for the listen address", true, chained("hook", address("daddr", "192.0.2.1"), dport(5000), elsewhere)],
  ["of all but a bridge's", true, chained("hook", meta("iifname", "!=", "docker0"), dport(5000), elsewhere)],
  ["of single packets", true, chained("hook", dport(5000), set("tcp", "dport", 5001))],
  ["of single packets to elsewhere", true, chained("ingress", dport(5000), set("ip", "daddr", "198.51.100.9"))],
  ["transparently", true, chained("hook", dport({ set: [1, 5000] }), { tproxy: { port: 7 } }, { accept: null })],
  [
    "of the interface that clients come by",
    true,
    chained("hook", meta("iifname", "==", "eth*"), dport(5000), elsewhere),
  ],
  [
    "of several interfaces",
    true,
    chained(
      "hook",
      { match: { op: "==", left: { meta: { key: "iif" } }, right: { set: ["eth1", "eth0"] } } },
      dport(5000),
      elsewhere,
    ),
  ],
  ["of every port", true, chained("hook", meta("l4proto", "==", "tcp"), elsewhere)],
  ["of all of TCP", true, chained("hook", ipProtocol("tcp"), elsewhere)],
  ["of some sources", false, chained("hook", address("saddr", "10.0.0.1"), dport(5000), elsewhere)],
  ["of one interface", false, chained("hook", meta("iifname", "==", "eth1"), dport(5000), elsewhere)],
  ["by a chain that nobody leads to", false, chained("alone", dport(5000), elsewhere)],
  ["of what this host sends", false, chained("output", dport(5000), elsewhere)],
  ["of that by a chain that is jumped to", false, chained("own", dport(5000), elsewhere)],
])("nft: a diversion %s; of everybody: %p", (_name, isWhole, json) => {
  expect(nftDiversions(parseNft(json), guarded)).toMatchObject([{ isWhole }]);
});

test.each([
  ["to the same port here", chained("hook", dport(5000), { dnat: { addr: "192.0.2.2" } })],
  ["to another guarded port", chained("hook", dport(5000), { redirect: { port: 6000 } })],
  ["by a change of other fields", chained("hook", dport(5000), set("ip", "ttl", 64))],
  ["by the handshake", chained("input", dport(5000), { synproxy: null })],
  ["of another port", chained("hook", dport(80), { redirect: { port: 5001 } })],
  ["of all other ports", chained("hook", { match: { ...Object(dport(5000)).match, op: "!=" } }, elsewhere)],
  ["of an address that is not listened to", chained("hook", address("daddr", "192.0.2.2"), dport(5000), elsewhere)],
  ["of loopback", chained("hook", address("daddr", "127.0.0.1"), dport(5000), elsewhere)],
  ["of UDP", chained("hook", udp("dport"), elsewhere)],
  ["of the same port of UDP", chained("hook", meta("l4proto", "==", "udp"), dport(5000), elsewhere)],
  ["of anything but TCP", chained("hook", meta("l4proto", "!=", "tcp"), dport(5000), elsewhere)],
  ["of the other family", chained("hook", dport(5000), elsewhere).replaceAll('"family":"ip"', '"family":"ip6"')],
  ["of the ports that a chain before chose", chained("jumped", elsewhere)],
  ["by a set that is not known", chained("hook", dport("@ports"), elsewhere)],
  ["nothing", ""],
])("nft: no diversion %s", (_name, json) => {
  expect(nftDiversions(parseNft(json), guarded)).toEqual([]);
});

test("nft: a diversion of the ports of a named set", () => {
  const json = chained("hook", dport("@ports"), elsewhere);
  for (const [elements, found] of [
    [[{ range: [4990, 5010] }], [{ isWhole: true, text: expect.stringContaining("tcp dport @ports dnat to") }]],
    [[80], []],
  ] as const) {
    expect(nftDiversions(parseNft(json, new Map([["ip nat ports", elements]])), guarded)).toMatchObject(found);
  }
});

/** {"vmap": ...} of which one element leads to the chain `pre`. */
function vmap(left: object, key: unknown): object {
  const data = {
    set: [
      [7, { accept: null }],
      [key, { jump: { target: "pre" } }],
    ],
  };
  return { vmap: { key: left, data } };
}

const dportKey = { payload: { protocol: "tcp", field: "dport" } };
const interfaceKey = { meta: { key: "iifname" } };
const step = { jump: { target: "pre" } };
const sources = address("saddr", "10.0.0.1");

test.each([
  ["of everything", true, [[{ counter: null }, step]]],
  ["of the port", true, [[dport({ set: [80, 5000] }), step]]],
  ["of the interface that clients come by", true, [[meta("iifname", "==", "eth*"), step]]],
  ["of the listen address", true, [[address("daddr", "192.0.2.1"), step]]],
  ["of some sources, and one of everything", true, [[sources, step], [step]]],
  ["of a verdict map of ports", true, [[vmap(dportKey, { range: [4990, 5010] })]]],
  ["of one with comments", true, [[vmap(dportKey, { elem: { val: 5000, comment: "game" } })]]],
  ["of one of interfaces", true, [[vmap(interfaceKey, "eth0")]]],
  ["of some sources", false, [[sources, step]]],
  ["of another port", false, [[dport(80), step]]],
  ["of UDP", false, [[meta("l4proto", "==", "udp"), step]]],
  ["of another address", false, [[address("daddr", "192.0.2.2"), step]]],
  ["of a verdict map of other ports", false, [[vmap(dportKey, 80)]]],
  ["of one of UDP", false, [[vmap({ payload: { protocol: "udp", field: "dport" } }, 5000)]]],
  ["of one of other interfaces", false, [[vmap(interfaceKey, "eth1")]]],
  ["of one for some sources", false, [[sources, vmap(dportKey, 5000)]]],
  ["of what the others of one leave", false, [[vmap(interfaceKey, "*")]]],
])("nft: a diversion in a chain by a jump %s; of everybody: %p", (_name, isWhole, jumps) => {
  const inFirst = { family: "ip", table: "nat", chain: "first" };
  const { nftables } = JSON.parse(chained("alone", dport(5000), elsewhere)) as { nftables: object[] };
  const first = { chain: { ...inFirst, name: "first", hook: "prerouting" } };
  const rules = jumps.map((expr) => ({ rule: { ...inFirst, expr } }));
  const json = JSON.stringify({ nftables: [first, ...nftables, ...rules] });
  expect(nftDiversions(parseNft(json), guarded)).toMatchObject([{ isWhole }]);
});

test("nft: the handshake in a chain by a verdict map", () => {
  const { nftables } = JSON.parse(chained("alone", dport(5000), synproxy)) as { nftables: object[] };
  const first = { family: "ip", table: "nat", name: "first", hook: "input" };
  const rule = { ...first, chain: "first", expr: [vmap(dportKey, 5000)] };
  const rules = parseNft(JSON.stringify({ nftables: [{ chain: first }, ...nftables, { rule }] }));
  expect(handshakeProxies({ nft: rules, ip: [], ip6: [] }, guarded)).toHaveLength(1);
});

test.each([
  ["-j X", true],
  ["-p tcp -m tcp --dport 5000 -j X", true],
  ["-i eth+ -p tcp -m multiport --dports 80,4990:5010 -g X", true],
  ["-d 192.0.2.1/32 -m addrtype --dst-type LOCAL -j X", true],
  ["-s 10.0.0.0/8 -j X", false],
  ["-s 10.0.0.0/8 -g X", false],
  ["-p tcp -m tcp --dport 80 -j X", false],
  ["-p udp -j X", false],
  ["-i eth1 -j X", false],
  ["-d 192.0.2.2/32 -j X", false],
  ["-m set --match-set some src -j X", false],
])("iptables: a diversion in a chain by a jump %s; of everybody: %p", (jump, isWhole) => {
  const rule = "-A X -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001";
  const rules = parseIptables(`-A PREROUTING ${jump}\n${rule}`);
  expect(iptablesDiversions(rules, guarded)).toEqual([{ text: `iptables ${rule}`, isWhole }]);
});

test("iptables: diversions of everybody, of some, and none", () => {
  const rule = (chain: string, rest: string) => `-A ${chain} ${rest}`;
  const whole = [
    rule("PREROUTING", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule(
      "PREROUTING",
      '-p tcp -m addrtype --dst-type LOCAL -m comment --comment "a b" -m tcp --dport 5000 -j DNAT --to-destination 198.51.100.9',
    ),
    rule("PREROUTING", "-d 192.0.2.1/32 -p tcp -m tcp --dport 4000:6000 -j DNAT --to-destination 198.51.100.9:5000"),
    rule("DOCKER", "! -i docker0 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 172.17.0.2:5000"),
    rule("PREROUTING", "-i eth0 -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-i eth+ -p tcp -m multiport --dports 80,4000:6000 -j DNAT --to-destination 198.51.100.9"),
    rule("GONE_TO", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -j DNAT --to-destination 198.51.100.9:22-23"),
    rule("PREROUTING", "-p tcp -m multiport --dports 80,4990:5010 -j REDIRECT --to-ports 5001"),
  ];
  const some = [
    rule("PREROUTING", "-s 10.0.0.0/8 -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-i eth1 -p tcp -m tcp --dport 5000 -j DNAT --to-destination [fd00::9]:5000"),
    rule("PREROUTING", "! -d 192.0.2.1/32 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 198.51.100.9"),
    rule("NOBODY", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("OWN", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "! -i eth0 -p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
  ];
  const none = [
    rule("PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER"),
    rule("PREROUTING", "-p tcp -j STEP"),
    rule("STEP", "-p tcp -g GONE_TO"),
    rule("OUTPUT", "-p tcp -j OWN"),
    rule("OUTPUT", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -m tcp --dport 5000 -j REDIRECT --to-ports 6000"),
    rule("PREROUTING", "-p tcp -m tcp --dport 5000 -j DNAT --to-destination 192.0.2.2:5000"),
    rule("PREROUTING", "-d 192.0.2.2/32 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 198.51.100.9"),
    rule("DOCKER", "-d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 5000 -j DNAT --to-destination 172.17.0.2:5000"),
    rule("PREROUTING", "-p udp -m udp --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -m tcp ! --dport 5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -m multiport ! --dports 80,5000 -j REDIRECT --to-ports 5001"),
    rule("PREROUTING", "-p tcp -m set --match-set ports dst -j REDIRECT --to-ports 5001"),
    rule("DOCKER", "-p tcp -m tcp -j DNAT --to-destination 10.244.0.5:8080"),
    rule("INPUT", "-p tcp -m tcp --dport 5000 -j SYNPROXY --wscale 7"),
  ];
  expect(iptablesDiversions(parseIptables([...none, ...whole, ...some].join("\n")), guarded)).toEqual([
    ...whole.map((line) => ({ text: `iptables ${line}`, isWhole: true })),
    ...some.map((line) => ({ text: `iptables ${line}`, isWhole: false })),
  ]);
  const [ofAll = ""] = whole;
  expect(diversionsFrom({ nft: [], ip: [], ip6: parseIptables(ofAll) }, guarded)).toEqual([]);
  expect(diversionsFrom({ nft: [], ip: parseIptables(ofAll), ip6: [] }, guarded)).toMatchObject([{ isWhole: true }]);
});

test("iptables: the rules of five thousand services take no second", () => {
  const services = Array.from({ length: 5000 }, (_, index) => [
    `-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${index}`,
    ...[`-A KUBE-SVC-${index} -j KUBE-SEP-${index}`, `-A KUBE-SVC-${index} -j KUBE-SEP-${index}-2`],
    `-A KUBE-SEP-${index} -p tcp -m tcp -j DNAT --to-destination 10.244.1.1:8080`,
    `-A KUBE-SEP-${index}-2 -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080`,
  ]);
  const text = services.flat().join("\n");
  const before = process.cpuUsage();
  const rules = parseIptables(text);
  const { user, system } = process.cpuUsage(before);
  expect(rules).toHaveLength(10_000);
  expect((user + system) / 1e6).toBeLessThan(1);
});

const untracked = { match: { op: "in", left: { ct: { key: "state" } }, right: ["invalid", "untracked"] } };
const synproxy = { synproxy: { mss: 1460, wscale: 7 } };

test.each([
  ["of the port", 1, chained("input", untracked, dport(5000), synproxy)],
  ["of several ports", 1, chained("jumped", dport({ set: [80, 5000] }), synproxy)],
  ["of some sources", 1, chained("input", address("saddr", "10.0.0.1"), dport(5000), { synproxy: null })],
  ["by a name", 1, chained("input", dport(5000), { synproxy: "https" })],
  ["of another port", 0, chained("input", dport(80), synproxy)],
  ["of what is forwarded", 0, chained("forward", dport(5000), synproxy)],
  ["of the other family", 0, chained("input", dport(5000), synproxy).replaceAll('"family":"ip"', '"family":"ip6"')],
])("nft: the handshake %s: %p", (_name, count, json) => {
  const rules = parseNft(json);
  expect(handshakeProxies({ nft: rules, ip: [], ip6: [] }, guarded)).toHaveLength(count);
  expect(nftRedirects(rules, 5000)).toEqual([]);
});

test("iptables: the handshake of the port, and of no other", () => {
  const ours =
    "-A INPUT -p tcp -m multiport --dports 80,5000 -m state --state INVALID,UNTRACKED -j SYNPROXY --wscale 7";
  const lines = [ours, ours.replace("5000", "5001"), ours.replace("INPUT", "FORWARD"), ours.replace("INPUT", "NOBODY")];
  const ip = parseIptables(lines.join("\n"));
  expect(texts(handshakeProxies({ nft: [], ip, ip6: [] }, guarded))).toEqual([`iptables ${ours}`]);
  expect(handshakeProxies({ nft: [], ip: [], ip6: ip }, guarded)).toEqual([]);
  expect(iptablesRedirects(ip, 5000)).toEqual([]);
});
