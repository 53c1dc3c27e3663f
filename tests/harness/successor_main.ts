// SPDX-License-Identifier: Apache-2.0
// A process that asks a gate to hand over and then hangs:
//   successor_main.ts PATH open|ready [FORM]
// Prints what it was told, a line each, and stays.

import process from "node:process";
import { Channel, takeoverForm } from "../../src/daemon/takeover/channel.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { connectPackets } from "../../src/kernel/packet_socket.ts";
import { runtime } from "../../src/runtime/bun.ts";

const [path = "", until = "ready", form = String(takeoverForm), map = ""] = process.argv.slice(2);
const { native } = runtime;
const channel = new Channel(connectPackets(native, openLibc(native), path));
const wish = {
  version: "0",
  gates: [{ port: 5000, mode: "proxy" }],
  exclusive: [],
  blockMap: map === "" ? null : map,
  dryRun: false,
  drainMs: 1000,
};
await channel.send({ kind: "hello", form: Number(form), ...wish });
try {
  const { message, descriptors } = await channel.expect("offer", 5000);
  console.log(`offer of ${message.listeners.length} listeners, ${descriptors.length} descriptors`);
  await channel.send({ kind: "open" });
  await channel.expect("go", 5000);
  console.log("go");
  if (until === "ready") {
    await channel.send({ kind: "ready" });
    await channel.expect("yours", 5000);
    console.log("yours");
  }
  if (until === "end") process.exit(0);
} catch (error) {
  console.log(String(error));
  process.exit(1);
}
setInterval(() => {}, 1000);
