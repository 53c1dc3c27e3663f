// SPDX-License-Identifier: Apache-2.0
// A process that asks a gate to hand over and then hangs:
//   successor_main.ts PATH open|ready|end [FORM] [MAP]
// or takes its kernel objects too, and is killed when it has come as far as STEP, one of those that a start names or a
// word of a take-over:
//   successor_main.ts PATH ready FORM MAP INTERFACE STEP
// Prints what it was told, a line each, and stays.

import process from "node:process";
import { Channel, takeoverForm } from "../../src/daemon/takeover/channel.ts";
import { openXdpFence } from "../../src/fences/xdp/open.ts";
import { bootClock } from "../../src/kernel/clock.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { connectPackets } from "../../src/kernel/packet_socket.ts";
import { runtime } from "../../src/runtime/bun.ts";

const [path = "", until = "ready", form = String(takeoverForm), map = "", device, last] = process.argv.slice(2);
const { native } = runtime;
const reached = (step: string) => {
  if (step === last) process.kill(process.pid, "SIGKILL");
};
const channel = new Channel(connectPackets(native, openLibc(native), path));
const wish = {
  version: "0",
  gates: [{ port: 5000, mode: "proxy" }],
  blockMap: map === "" ? null : map,
  dryRun: false,
  drainMs: 1000,
};
await channel.send({ kind: "hello", form: Number(form), ...wish });
try {
  const { message, descriptors } = await channel.expect("offer", 5000);
  console.log(`offer of ${message.listeners.length} listeners, ${descriptors.length} descriptors`);
  reached("offer");
  await channel.send({ kind: "open" });
  await channel.expect("go", 5000);
  console.log("go");
  reached("go");
  if (device !== undefined) {
    await openXdpFence({
      ...{ native, map, interfaces: [device], ports: [5000], scope: "host", ipv6PrefixBits: 64, version: "0" },
      ...{ nowMs: bootClock(), inherited: { maps: {}, neverBan: [] }, onStep: reached, log: () => {} },
    });
  }
  if (until === "ready") {
    await channel.send({ kind: "ready" });
    reached("ready");
    await channel.expect("yours", 5000);
    console.log("yours");
    reached("yours");
  }
  if (until === "end") process.exit(0);
} catch (error) {
  console.log(String(error));
  process.exit(1);
}
setInterval(() => {}, 1000);
