// SPDX-License-Identifier: Apache-2.0
import { test } from "bun:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { runtime } from "../../src/runtime/bun.ts";
import { silentEvents } from "../../src/runtime/types.ts";
import { contract } from "./contract.ts";

for (const { name, run } of contract) test(name, () => run(runtime), 20_000);

test("the memory of a large piece is given back once it is sent, at once or after a drain", async () => {
  await using stack = new AsyncDisposableStack();
  const server = createServer((socket) => void socket.resume()).listen(0, "127.0.0.1");
  stack.defer(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const drained = Promise.withResolvers<void>();
  const socket = await runtime.connect(
    { host: "127.0.0.1", port },
    { ...silentEvents, drain: () => drained.resolve() },
  );
  stack.defer(() => socket.reset());
  const small = new Uint8Array(100);
  const large = new Uint8Array(64 * 1024);
  assert.equal(socket.write(small), true);
  assert.equal(socket.write(large), true);
  assert.deepEqual([small.length, large.length], [100, 0]);
  // More than the kernel takes at once.
  const waiting = new Uint8Array(64 * 1024 * 1024);
  assert.equal(socket.write(waiting), false);
  assert.equal(waiting.length, 64 * 1024 * 1024);
  await drained.promise;
  assert.equal(waiting.length, 0);
});
