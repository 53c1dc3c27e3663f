// SPDX-License-Identifier: Apache-2.0
// Inline mode remembers which connections are past their first bytes (bpf/judged.h). The next connection
// between the same two ports is another one, and is judged like any.

import { expect, setDefaultTimeout } from "bun:test";
import process from "node:process";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { testWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";

setDefaultTimeout(60_000);

/** Takes everything, and says how much. */
const sink = `
  require("node:net").createServer((socket) => {
    let received = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes) => { received += bytes.length; console.log("received", received); });
  }).listen(5000, () => console.log("ready"));`;

/** Each line of its input is hexadecimal and goes out as a segment; "reset" ends the connection so that the port is free. */
function clientProgram(host: string, from: string): string {
  return `
    const { connect } = require("node:net");
    const open = () => {
      const socket = connect({ host: "${host}", port: 5000, localAddress: "${from}", localPort: 40000 });
      socket.on("error", (error) => console.log("failed", error.code));
      socket.on("connect", () => console.log("connected"));
      socket.setNoDelay(true);
      return socket;
    };
    let socket = open();
    for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
      if (line === "reset") { socket.resetAndDestroy(); socket = open(); }
      else socket.write(Buffer.from(line, "hex"));
    }`;
}

testWith("namespaces", "executable")("a stranger from a friend's address and port is judged", async () => {
  using network = new Network();
  using map = new BlockMap();
  const source = network.clientIpv4(3);
  await using server = new Child([process.execPath, "-e", sink], { namespace: network.gate });
  await server.said(/^ready$/m);
  await using gate = await RunningGate.start(["-m", "inline", "-B", map.name, "-i", network.device], {
    namespace: network.gate,
  });
  await using client = new Child([process.execPath, "-e", clientProgram(network.gateIpv4, source)], {
    namespace: network.client,
    holdInput: true,
  });
  await client.said(/^connected$/m);
  const friend = crypto.getRandomValues(new Uint8Array(400));
  friend[0] = 0xe7;
  // The third segment finds the connection past its first bytes, the fourth finds it remembered.
  for (let count = 1; count <= 4; count++) {
    client.send(`${friend.toHex()}\n`);
    await server.said(new RegExp(`^received ${count * friend.length}$`, "m"));
  }
  expect(await gate.bans()).toEqual([]);
  client.send("reset\n");
  await client.said(/^connected\nconnected$/m);
  client.send(`${new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").toHex()}\n`);
  expect((await gate.banned(source)).protocol).toBe("http");
});
