// SPDX-License-Identifier: Apache-2.0
// The gate that learns, on loopback sockets of the real runtime.
import { expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { configSchema } from "../../src/config/options.ts";
import { openLearning } from "../../src/learning/learning.ts";
import { runtime } from "../../src/runtime/bun.ts";

setDefaultTimeout(20_000);

const host = "127.0.0.1";

test("a connection on which nobody says anything more ends after --idle, as it does in a gate", async () => {
  await using stack = new AsyncDisposableStack();
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, host);
  stack.defer(() => void server.close());
  await once(server, "listening");
  const free = createServer().listen(0, host);
  await once(free, "listening");
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));

  const upstream = `${host}:${(server.address() as AddressInfo).port}`;
  const config = { ...configSchema.parse({ listen: `${host}:${port}`, upstream }), idle: 1000 };
  const learning = await openLearning({ config, runtime, log: () => {}, seen: () => {} });
  stack.defer(() => learning.close());
  const client = connect(port, host).on("error", () => {});
  stack.defer(() => void client.destroy());
  const closed = new Promise((resolve) => client.on("close", resolve));
  client.write("hello");
  expect(String((await once(client, "data"))[0])).toBe("hello");
  await closed;
});
