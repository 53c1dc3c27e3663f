// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { loadSniffer } from "../../src/config/profile.ts";
import { requirePrefix } from "../../src/core/address.ts";
import type { InlineUndecided } from "../../src/fences/xdp/inline/inline_layout.ts";
import { Stalled } from "../../src/sources/stalled.ts";
import { bytesOf } from "../vectors/vectors.ts";

const sniffer = loadSniffer("tapetrack");
const firstPacketMs = 10_000;
const enough = 3 * firstPacketMs;

interface Bed {
  readonly open: InlineUndecided[];
  readonly welcome: Set<string>;
  readonly told: string[];
  /** Ticks as often as the gate does, for so long. */
  pass(ms: number): void;
}

function bed(): Bed {
  const open: InlineUndecided[] = [];
  const welcome = new Set<string>();
  const told: string[] = [];
  const stalled = new Stalled({
    connections: () => ({ undecided: () => open, isWelcome: ({ text }) => welcome.has(text) }),
    port: () => 5000,
    ipv6Bits: 64,
    firstPacketMs,
    sniffer: () => sniffer,
    ban: (client, { reason, evidence }) =>
      void told.push(
        `ban ${client.sourceText} ${reason} ${evidence?.firstBytes.length} ${evidence?.clientPort}>${evidence?.gatePort} ${evidence?.bet?.expert ?? "-"}`,
      ),
    strike: (client, bytes) => void told.push(`strike ${client.sourceText} ${bytes.length}`),
  });
  let nowMs = 1000;
  return {
    open,
    welcome,
    told,
    pass(ms) {
      for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 500) stalled.tick(nowMs);
    },
  };
}

function connection(text: string, address: string, changes: Partial<InlineUndecided> = {}): InlineUndecided {
  const bytes = bytesOf(text, undefined);
  const base = { source: requirePrefix(address), sourcePort: 40_000, port: 5000, firstBytes: bytes, passed: false };
  return { ...base, id: `${address} ${text}`, ...changes };
}

test("who said too little has one strike for a connection, when its time is over", () => {
  const { open, told, pass } = bed();
  open.push(connection("TT01", "192.0.2.1"));
  pass(firstPacketMs / 2);
  expect(told).toEqual([]);
  pass(enough);
  expect(told).toEqual(["strike 192.0.2.1 4"]);
  pass(enough);
  expect(told.length).toBe(1);
});

test("a stranger by what it said until it fell silent is banned, with the evidence", () => {
  const { open, told, pass } = bed();
  // Modbus, of which a whole request tells more than 30 bits.
  open.push(connection("\u0000\u0001\u0000\u0000\u0000\u0006\u0001\u0003\u0000\u0000\u0000\u000a", "2001:db8::7"));
  open.push(connection("\u0000\u0001\u0000\u0000".repeat(9), "192.0.2.2"));
  pass(enough);
  expect(told[0]).toBe("ban 2001:db8::/64 modbus 12 40000>5000 -");
  expect(told[1]).toMatch(/^ban 192\.0\.2\.2 \w+ 36 40000>5000 \w+$/);
});

test("every byte that comes begins the time anew", () => {
  const { open, told, pass } = bed();
  for (let length = 1; length < 8; length++) {
    open[0] = connection("TT01TT01".slice(0, length), "192.0.2.1", { id: "one" });
    pass(firstPacketMs * 0.7);
  }
  expect(told).toEqual([]);
  pass(enough);
  expect(told).toEqual(["strike 192.0.2.1 7"]);
});

test("nothing is held against who passed, whose source is welcome, or who said nothing in order", () => {
  const { open, welcome, told, pass } = bed();
  open.push(connection("TT01", "192.0.2.1", { passed: true }));
  open.push(connection("TT01", "192.0.2.2"));
  open.push(connection("", "192.0.2.3"));
  welcome.add("192.0.2.2");
  pass(enough);
  expect(told).toEqual([]);
});

test("a connection that the kernel forgot is forgotten", () => {
  const { open, told, pass } = bed();
  open.push(connection("TT01", "192.0.2.1"));
  pass(firstPacketMs / 2);
  open.pop();
  pass(firstPacketMs);
  open.push(connection("TT01", "192.0.2.1"));
  pass(firstPacketMs / 2);
  expect(told).toEqual([]);
});
