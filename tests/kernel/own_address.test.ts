// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { type Libc, openLibc } from "../../src/kernel/libc.ts";
import { ownAddresses } from "../../src/kernel/own_address.ts";
import { runtime } from "../../src/runtime/bun.ts";

test("an address that this host has is asked for again when the network may have changed, any other one each time", () => {
  const libc = openLibc(runtime.native);
  let asked = 0;
  const socket: Libc["calls"]["socket"] = (...args) => {
    asked++;
    return libc.calls.socket(...args);
  };
  let version = 1;
  const isOwn = ownAddresses({ ...libc, calls: { ...libc.calls, socket } }, () => version);
  expect([isOwn("127.0.0.1"), isOwn("127.0.0.1"), asked]).toEqual([true, true, 1]);
  expect([isOwn("192.0.2.1"), isOwn("192.0.2.1"), asked]).toEqual([false, false, 3]);
  expect([isOwn("127.0.0.1"), isOwn("127.0.0.1"), asked]).toEqual([true, true, 4]);
  version++;
  expect([isOwn("127.0.0.1"), asked]).toEqual([true, 5]);
});
