// SPDX-License-Identifier: Apache-2.0
// By which names the status endpoint may be asked, whatever a browser was made to believe.
import { describe, expect, test } from "bun:test";
import { type HostNames, strangeHost } from "../../src/status/host_names.ts";

const onLoopback: HostNames = { bound: "127.0.0.1", ownAddresses: () => ["203.0.113.5"], allowed: () => [] };
const onAll: HostNames = { ...onLoopback, bound: "::", ownAddresses: () => ["203.0.113.5", "2001:db8::5"] };
const onOne: HostNames = { ...onLoopback, bound: "203.0.113.6" };
const onName: HostNames = { ...onLoopback, bound: "Gate.example", allowed: () => ["status.example", "2001:DB8::9"] };

function isAnswered(host: string, names: HostNames): boolean {
  return strangeHost(new Request("http://localhost/status", { headers: { host } }), names) === undefined;
}

describe("a Host header", () => {
  test.each(["localhost", "LOCALHOST.", "localhost:9500", "127.0.0.1:9500", "127.8.7.6", "[::1]:9500", "[0:0::1]"])(
    "%s is loopback: answered wherever the endpoint listens",
    (host) => {
      for (const names of [onLoopback, onAll, onOne, onName]) expect(isAnswered(host, names)).toBe(true);
    },
  );

  test.each([
    "evil.example",
    "evil.example:9500",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "evil.example:80:9500",
    "user@127.0.0.1",
    "127.0.0.1, evil.example",
    "127.0.0.1/evil",
    "127.0.0.0/8",
    "203.0.113.7",
    "[2001:db8::7]",
    "[::1",
    "::1",
    "0.0.0.0",
    "2130706433",
    "",
    " ",
  ])("%j is answered nowhere", (host) => {
    for (const names of [onLoopback, onAll, onOne, onName])
      expect([host, isAnswered(host, names)]).toEqual([host, false]);
  });

  test("may be the address that the endpoint is bound to, or one of this host where it is bound to all", () => {
    const answered = (host: string) => [onLoopback, onAll, onOne].map((names) => isAnswered(host, names));
    expect(answered("203.0.113.5:9500")).toEqual([false, true, false]);
    expect(answered("[2001:DB8:0::5]:9500")).toEqual([false, true, false]);
    expect(answered("203.0.113.6")).toEqual([false, false, true]);
  });

  test("may be a name that the endpoint is bound to, or that --status-host names", () => {
    for (const host of ["gate.example:9500", "GATE.EXAMPLE.", "status.example", "[2001:db8::9]:1"]) {
      expect([host, isAnswered(host, onName), isAnswered(host, onOne)]).toEqual([host, true, false]);
    }
  });

  test("that is missing is no browser's", () => {
    expect(strangeHost(new Request("http://localhost/status"), onLoopback)).toBeUndefined();
  });
});

test("a target in absolute form is held to the same names", () => {
  const request = new Request("http://evil.example/status", { headers: { host: "127.0.0.1:9500" } });
  expect(strangeHost(request, onLoopback)).toBe("evil.example");
});
