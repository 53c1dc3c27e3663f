// SPDX-License-Identifier: Apache-2.0
// Connections that the kernel program did not see: counted and told, and a reason not to be ready while it goes on.
import { beforeEach, expect, test } from "bun:test";
import { Events } from "../../src/core/bans/events.ts";
import { UnseenConnections } from "../../src/daemon/unseen.ts";

const why = "this interface is not guarded: add --interface tun0";
const event = { source: "192.0.2.1", sourcePort: 4711, port: 5000, interfaceName: "tun0", why };

const one = { missed: "judged" as const, ...event };

let told: string[];
let events: Events;
let unseen: UnseenConnections;

beforeEach(() => {
  told = [];
  events = new Events(16, 0);
  unseen = new UnseenConnections(events, (_level, message) => void told.push(message));
});

test("each is an event with what is known of it", () => {
  unseen.add(one, 5000);
  expect(events.after(0, 10).events).toEqual([{ id: 1, event: { type: "unseen", atMs: 5000, ...event } }]);
  expect(unseen.status).toEqual({ connections: 1, last: { ...one, atMs: 5000 } });
});

test("the first has a line in the log, those after it together one every ten seconds", () => {
  const line = `by the kernel program, from 192.0.2.1 port 4711 by interface "tun0": ${why}`;
  unseen.add(one, 0);
  expect(told).toEqual([`A connection to port 5000 was not judged ${line}`]);
  for (let nowMs = 100; nowMs < 9000; nowMs += 100) unseen.add({ ...one, sourcePort: nowMs }, nowMs);
  unseen.addUntold(10);
  unseen.say(9999);
  expect(told).toHaveLength(1);
  unseen.say(10_000);
  expect(told[1]).toMatch(/^99 connections to port 5000 were not judged by the kernel program, the last one from/);
  unseen.say(60_000);
  expect(told).toHaveLength(2);
  expect(unseen.status.connections).toBe(100);
});

test("three within a minute are a reason not to be ready, until a minute after the first of the last three", () => {
  unseen.add(one, 0);
  unseen.add(one, 50_000);
  expect(unseen.reason(50_000)).toBeUndefined();
  unseen.add(one, 70_000);
  // Each more than a minute before the next but one.
  expect(unseen.reason(70_000)).toBeUndefined();
  unseen.add(one, 80_000);
  expect(unseen.reason(80_000)).toBe(
    `4 connections to port 5000 were not judged by the kernel program since the start, the last one from 192.0.2.1 port 4711 by interface "tun0": ${why}`,
  );
  expect(unseen.reason(110_000)).toBeDefined();
  expect(unseen.reason(110_001)).toBeUndefined();
});
