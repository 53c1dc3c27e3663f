// SPDX-License-Identifier: Apache-2.0
// The second observer where it cannot be: said once, and nothing else changes.
import { expect, test } from "bun:test";
import { Events } from "../../src/core/bans/events.ts";
import { SecondObserver, whyUnseen } from "../../src/daemon/second_observer.ts";
import { UnseenConnections } from "../../src/daemon/unseen.ts";
import type { InlineJudge } from "../../src/fences/xdp/inline/inline_judge.ts";
import { native } from "../../src/runtime/bun_ffi.ts";

function observerOf(judge: Pick<InlineJudge, "seenFd"> | undefined) {
  const told: string[] = [];
  const log = (_level: string, message: string) => void told.push(message);
  const observer = new SecondObserver({
    ...{ native, log, listen: () => ({ host: "::", port: 5000 }), loopback: () => false },
    judge: () => judge as InlineJudge | undefined,
    unseen: new UnseenConnections(new Events(16, 0), log),
    places: () => [],
    nowMs: () => 0,
  });
  return { observer, told };
}

test("where the kernel refuses it, the log has the reason once, and the work goes on", async () => {
  const { observer, told } = observerOf({ seenFd: -1 });
  await observer.begin();
  observer.tick(500);
  observer.tick(1000);
  expect(told).toEqual([`Connections that get by the kernel's judge are not counted: ${observer.absence}`]);
  expect(observer.absence).toContain(`Use map "ttgate_seen"`);
});

test("where the kernel does not judge alone there is nothing to observe", async () => {
  const { observer, told } = observerOf(undefined);
  await observer.begin();
  observer.tick(500);
  expect([told, observer.absence, observer.followed]).toEqual([[], undefined, 0]);
});

test.each([
  [undefined, "it is not known by which way it came; ttgate doctor lists redirects"],
  ["tun0", "this interface is not guarded: add --interface tun0"],
  ["eth1", "this interface is not guarded: no room"],
  ["eth0", expect.stringContaining("a redirect to the port")],
  ["eth2", "it was not guarded until a moment ago"],
  ["eth3", expect.stringContaining("a redirect to the port")],
] as const)("why a connection by %s was not seen", (name, why) => {
  const places = [
    { name: "eth0", attach: "native", reason: undefined },
    { name: "eth1", attach: "none", reason: "no room" },
    { name: "eth2", attach: "native", reason: undefined, sinceMs: 9500 },
    { name: "eth3", attach: "native", reason: undefined, sinceMs: 5000 },
  ];
  expect(whyUnseen(places, name, 10_000)).toEqual(why);
});
