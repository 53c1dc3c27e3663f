// SPDX-License-Identifier: Apache-2.0
// Opens a fence on the named map in a process of its own and prints, as JSON, what came of it:
// `bun open_main.ts MAP INTERFACE`. For tests that need another user or other capabilities.
import process from "node:process";
import { Failure } from "../../src/failure.ts";
import { openXdpFence } from "../../src/fences/xdp/open.ts";
import { bootClock } from "../../src/kernel/clock.ts";
import { currentRuntime } from "../../src/runtime/select.ts";

const [map = "", name = ""] = process.argv.slice(2);
const { native } = await currentRuntime();
try {
  const fence = await openXdpFence({
    native,
    map,
    interfaces: [name],
    ports: [5000],
    scope: "port",
    ipv6PrefixBits: 64,
    version: "0.0.1",
    nowMs: bootClock(),
    log: () => {},
  });
  console.log(JSON.stringify({ status: fence.status() }));
  fence.close(false);
} catch (error) {
  const exitCode = error instanceof Failure ? error.exitCode : "other";
  console.log(JSON.stringify({ exitCode, message: error instanceof Error ? error.message : String(error) }));
}
