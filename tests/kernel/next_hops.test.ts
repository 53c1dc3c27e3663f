// SPDX-License-Identifier: Apache-2.0
// Answers that a kernel gives seldom: interrupted, cut short, refused. The C library is a list of answers.
import { expect, test } from "bun:test";
import { finished } from "../../src/core/work.ts";
import type { Libc } from "../../src/kernel/libc.ts";
import { type NextHops, readNextHops } from "../../src/kernel/next_hops.ts";
import { native } from "../../src/runtime/bun_ffi.ts";

const [route, done, error, interrupted] = [24, 3, 2, 0x10];

/** struct nlmsghdr and what follows it. */
function message(type: number, payload: readonly number[], flags = 0): number[] {
  const bytes = new Uint8Array(16 + payload.length);
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  bytes[4] = type;
  bytes[6] = flags;
  bytes.set(payload, 16);
  return [...bytes];
}

/** struct rtmsg, RTA_OIF 1, RTA_GATEWAY 192.0.2.last. */
function routeBy(last: number, flags = 0, routeFlags = 0): number[] {
  const head = [2, 24, 0, 0, 254, 3, 0, 1, 0, routeFlags, 0, 0];
  return message(route, [...head, 8, 0, 4, 0, 1, 0, 0, 0, 8, 0, 5, 0, 192, 0, 2, last], flags);
}

const end = message(done, [0, 0, 0, 0]);

/** @param answers in order; a number is what recv() returns, as -errno or as a length. */
function read(...answers: readonly (readonly number[] | number)[]): NextHops & { readonly closed: number } {
  const left = [...answers];
  let closed = 0;
  const calls = {
    socket: () => 9,
    close: () => closed++,
    send: (_fd: number, question: Uint8Array) => BigInt(question.length),
    recv(_fd: number, into: Uint8Array) {
      const answer = left.shift() ?? [];
      if (typeof answer === "number") return BigInt(answer);
      into.set(answer);
      return BigInt(answer.length);
    },
    if_indextoname: () => 0n,
  };
  const libc = { calls, result: Number } as unknown as Libc;
  try {
    const found = finished(readNextHops(native, libc));
    expect(left).toEqual([]);
    return { ...found, closed };
  } catch (failure) {
    expect(closed).toBe(1);
    throw failure;
  }
}

function addresses({ hops }: NextHops): string[] {
  return hops.map(({ prefix }) => prefix.text);
}

test("an answer in many parts is one; an interface that is gone has no name", () => {
  const found = read([...routeBy(1), ...routeBy(2)], routeBy(1), [...routeBy(3), ...end], end);
  expect(addresses(found)).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
  expect(found).toMatchObject({ isWhole: true, closed: 1 });
  expect(found.hops[0]?.interfaceName).toBe("?");
});

test.each([
  ["a route", [[...routeBy(1, interrupted), ...end], end]],
  ["the end of the routes", [[...routeBy(1), ...message(done, [0, 0, 0, 0], interrupted)], end]],
  ["the end of the next-hop objects", [[...routeBy(1), ...end], message(done, [0, 0, 0, 0], interrupted)]],
])("is not whole where it was interrupted, as %s tells", (_, answers) => {
  const found = read(...answers);
  expect(addresses(found)).toEqual(["192.0.2.1"]);
  expect(found.isWhole).toBe(false);
});

test("copies of routes, of what ICMP said, are no routes", () => {
  expect(addresses(read([...routeBy(1), ...routeBy(2, 0, 2), ...end], end))).toEqual(["192.0.2.1"]);
});

test("a kernel without next-hop objects has none", () => {
  expect(addresses(read([...routeBy(1), ...end], message(error, [-95 & 255, 255, 255, 255])))).toEqual(["192.0.2.1"]);
});

test.each([
  ["refuses", [message(error, [-1 & 255, 255, 255, 255])], "EPERM"],
  ["gives up at the end", [routeBy(1), message(done, [-90 & 255, 255, 255, 255])], "EMSGSIZE"],
  ["has no room", [routeBy(1), -105], "errno 105"],
  ["says nothing", [routeBy(1), []], "EMSGSIZE"],
  ["says more than there is room for", [routeBy(1), 70_000], "EMSGSIZE"],
  ["sends a part of a message", [routeBy(1).slice(0, 30)], "EMSGSIZE"],
])("fails where the kernel %s", (_, answers, code) => {
  expect(() => read(...answers)).toThrow(`Read the routes: ${code}`);
});
