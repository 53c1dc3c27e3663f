// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { isOpenToOthers, peersOf } from "../../src/host/connections.ts";
import { waitFor } from "../harness/wait.ts";

async function peers(listen: string, to: string): Promise<ReadonlySet<string>> {
  const server = createServer().listen(0, listen);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect(port, to);
  try {
    await once(client, "connect");
    return await waitFor("the connection", () => {
      const found = peersOf(port);
      return found.size > 0 ? found : undefined;
    });
  } finally {
    client.destroy();
    server.close();
  }
}

test("IPv4 is IPv4, also on a listener of both families", async () => {
  expect([...(await peers("127.0.0.1", "127.0.0.1"))]).toEqual(["127.0.0.1"]);
  expect([...(await peers("::", "127.0.0.1"))]).toEqual(["127.0.0.1"]);
});

test("IPv6 is 32 digits, and nobody is connected to a port where nothing listens", async () => {
  expect([...(await peers("::1", "::1"))]).toEqual([`${"0".repeat(31)}1`]);
  expect(peersOf(1).size).toBe(0);
});

test.each([
  ["127.0.0.1", false],
  ["::1", false],
  ["0.0.0.0", true],
  ["::", true],
])("who listens on %s is open to others: %p", async (host, isOpen) => {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect(isOpenToOthers(port)).toBe(isOpen);
  server.close();
  await once(server, "close");
  expect(isOpenToOthers(port)).toBe(false);
});
