// SPDX-License-Identifier: Apache-2.0
// What a host looks like, asked in a network namespace of the test's own making.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import process from "node:process";
import { isLoopback, isWildcard } from "../src/core/address.ts";
import { connectionLimit, descriptorLimit } from "../src/host/limits.ts";
import { Loopback } from "./commands/bed.ts";
import { Child, run } from "./harness/child.ts";
import { describeWith, testWith } from "./harness/needs.ts";
import { ip } from "./harness/netns.ts";

test.each([
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["::1", true],
  ["0:0:0:0:0:0:0:1", true],
  ["::ffff:127.0.0.1", true],
  ["localhost", true],
  ["::", false],
  ["0.0.0.0", false],
  ["192.0.2.1", false],
  ["127.example.org", false],
  ["127.0.0.1.example.org", false],
  ["localhost.example.org", false],
])("%s is loopback: %p", (host, answer) => {
  expect(isLoopback(host)).toBe(answer);
});

test.each([
  ["::", true],
  ["0:0::0", true],
  ["0.0.0.0", true],
  ["::1", false],
  ["::ffff:0.0.0.0", true],
  ["127.0.0.1", false],
  ["localhost", false],
])("%s is every address: %p", (host, answer) => {
  expect(isWildcard(host)).toBe(answer);
});

describe("the limit of connections", () => {
  test("leaves room for what else is open, and takes two descriptors for each", () => {
    expect(connectionLimit("bun", 1024)).toBe(448);
    expect(connectionLimit("deno", 1024)).toBe(192);
    expect(connectionLimit("bun", Number.POSITIVE_INFINITY)).toBeLessThanOrEqual(1_000_000);
    expect(connectionLimit("bun", 10)).toBe(1);
  });

  test("comes from what the process may open", () => {
    expect(descriptorLimit()).toBeGreaterThan(100);
  });
});

describeWith("namespaces")("a host", () => {
  let loopback: Loopback;

  beforeAll(() => {
    loopback = new Loopback();
    const inside = (...args: readonly string[]) => ip("-n", loopback.name, ...args);
    inside("link", "add", "one", "type", "veth", "peer", "name", "two");
    inside("address", "add", "10.88.0.2/24", "dev", "one");
    inside("address", "add", "fd88::2/64", "dev", "one", "nodad");
    inside("address", "add", "10.99.0.2/24", "dev", "two");
    for (const device of ["one", "two"]) inside("link", "set", device, "up");
  });

  afterAll(() => loopback[Symbol.dispose]());

  async function ask(expression: string): Promise<unknown> {
    const script = `const host = await import(${JSON.stringify(import.meta.resolve("../src/host/addresses.ts"))});
      const { SshSessions } = await import(${JSON.stringify(import.meta.resolve("../src/host/ssh_sessions.ts"))});
      const plain = (list) => list.map(({ prefix, why }) => [prefix.text, why]);
      console.log(JSON.stringify(${expression}));
      process.exit();`;
    const { stdout, stderr } = await run([process.execPath, "-e", script], { namespace: loopback.name });
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout);
  }

  const own = [
    ["10.88.0.2", "own address of one"],
    ["fd88::2", "own address of one"],
    ["10.99.0.2", "own address of two"],
  ];
  test("protects loopback and its own addresses", async () => {
    const loopbacks = [
      ["127.0.0.0/8", "loopback"],
      ["::1", "loopback"],
    ];
    const found = (await ask("plain(host.protectedAddresses())")) as string[][];
    expect(found).toEqual(expect.arrayContaining([...loopbacks, ...own]));
    expect(found.filter(([, why]) => why === "own address of lo")).toEqual([]);
  });

  test("has the interfaces that carry an address", async () => {
    expect(await ask('host.interfacesOf("::").sort()')).toEqual(["one", "two"]);
    expect(await ask('host.interfacesOf("0.0.0.0").sort()')).toEqual(["one", "two"]);
    expect(await ask('host.interfacesOf("10.99.0.2")')).toEqual(["two"]);
    expect(await ask('host.interfacesOf("fd88:0::2")')).toEqual(["one"]);
    expect(await ask('host.interfacesOf("127.0.0.1")')).toEqual(["lo"]);
    expect(await ask('host.interfacesOf("192.0.2.1")')).toEqual([]);
    ip("-n", loopback.name, "address", "add", "10.55.0.1/32", "dev", "lo");
    expect(await ask('host.interfacesOf("10.55.0.1").sort()')).toEqual(["one", "two"]);
    for (const device of ["one", "two"])
      ip("-n", loopback.name, "address", "add", "fe80::77/64", "dev", device, "nodad");
    expect(await ask('host.interfacesOf("fe80::77%two")')).toEqual(["two"]);
  });

  test("knows who has an SSH session, in both families", async () => {
    for (const [address, listen] of [
      ["10.88.0.2", "10.99.0.2"],
      ["fd88::2", "fd88::2"],
    ] as const) {
      await using _server = new Child(["nc", "-l", listen, "22"], { namespace: loopback.name, holdInput: true });
      await using client = new Child(["sh", "-c", `until nc -s ${address} ${listen} 22; do sleep 0.02; done`], {
        namespace: loopback.name,
        holdInput: true,
      });
      client.send("x");
      await _server.said(/x/);
      expect(await ask("plain(new SshSessions().peers(0))")).toContainEqual([address, "has an SSH session here"]);
      client.closeInput();
    }
  });

  test("takes for an SSH session what sshd would have ended by now, and what somebody inside tells of", async () => {
    expect(await ask(sessionsScript)).toEqual({
      fresh: [],
      young: [],
      longer: [[], ["10.88.0.2"]],
      forEver: [],
      old: ["10.88.0.2"],
      told: ["10.99.0.2"],
      elsewhere: ["fd88::2"],
      gone: [],
      isNews: [true, false, false, false],
    });
  });
});

/** Of the clock of who asks: two minutes take no time. */
const sessionsScript = `await (async () => {
  const net = await import("node:net");
  const serve = async (port) => {
    const server = net.createServer().listen(port, "::");
    await new Promise((listening) => server.once("listening", listening));
  };
  const connect = async (localAddress, host, port) => {
    const socket = net.connect({ localAddress, host, port });
    await new Promise((connected) => socket.once("connect", connected));
    return socket;
  };
  await serve(22);
  await serve(2022);
  const sessions = new SshSessions([]);
  const texts = (list) => list.map(({ prefix }) => prefix.text);
  const peers = (nowMs) => texts(sessions.peers(nowMs));
  const patient = new SshSessions(["LoginGraceTime 5m"]);
  const endless = new SshSessions(["LoginGraceTime 0"]);
  for (const all of [sessions, patient, endless]) all.peers(0);
  const first = await connect("10.88.0.2", "10.99.0.2", 22);
  const fresh = peers(1000);
  const young = peers(129000);
  const old = peers(132000);
  for (const all of [patient, endless]) all.peers(1000);
  const longer = [texts(patient.peers(132000)), texts(patient.peers(320000))];
  const forEver = texts(endless.peers(9e9));
  first.destroy();
  const second = await connect("10.99.0.2", "10.88.0.2", 22);
  const connection = ["10.99.0.2", second.localPort, "10.88.0.2", 22].join(" ");
  const isNews = [sessions.vouch(connection)];
  const told = peers(133000);
  second.destroy();
  const third = await connect("fd88::2", "fd88::2", 2022);
  isNews.push(sessions.vouch("fd88::2 nonsense"), sessions.vouch("192.0.2.1 99999999 x 22"), sessions.vouch(""));
  const before = peers(134000);
  sessions.vouch(["fd88::2", third.localPort, "fd88::2", 2022].join(" "));
  const elsewhere = [...before, ...peers(135000)];
  third.destroy();
  let gone = peers(400000);
  for (let tries = 0; gone.length > 0 && tries < 1000; tries++) {
    await Bun.sleep(10);
    gone = peers(400000);
  }
  return { fresh, young, longer, forEver, old, told, elsewhere, gone, isNews };
})()`;

const gatewaysScript = `
  const { native } = await import("${import.meta.resolve("../src/runtime/bun_ffi.ts")}");
  const { openLibc } = await import("${import.meta.resolve("../src/kernel/libc.ts")}");
  const { readNextHops } = await import("${import.meta.resolve("../src/kernel/next_hops.ts")}");
  const { finished } = await import("${import.meta.resolve("../src/core/work.ts")}");
  const { hops } = finished(readNextHops(native, openLibc(native)));
  console.log(hops.map(({ prefix, interfaceName }) => prefix.text + " " + interfaceName).join());`;

testWith("namespaces", "vrf")("a gateway of a VRF is one of this host's", async () => {
  using loopback = new Loopback();
  const inside = (line: string) => ip("-n", loopback.name, ...line.split(" "));
  inside("link add red type vrf table 10");
  inside("link add one type veth peer name two");
  inside("link set one master red");
  for (const device of ["red", "one", "two"]) inside(`link set ${device} up`);
  inside("address add 10.88.0.2/24 dev one");
  inside("route add default via 10.88.0.1 vrf red");
  const { stdout, stderr } = await run([process.execPath, "-e", gatewaysScript], { namespace: loopback.name });
  expect([stdout.trim(), stderr]).toEqual(["10.88.0.1 one", ""]);
});
