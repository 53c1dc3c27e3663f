// SPDX-License-Identifier: Apache-2.0
// Opens a fence on the named map in a process of its own and prints, as JSON, what came of it:
// `bun open_main.ts MAP INTERFACE`. For tests that need another user or other capabilities.
import process from "node:process";
import { openXdpFence } from "../../src/fences/xdp/open.ts";
import { Failure } from "../../src/failure.ts";
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
    log: () => {},
  });
  console.log(JSON.stringify({ status: fence.status() }));
  fence.close(false);
} catch (error) {
  const kind = error instanceof Failure ? error.kind : "other";
  console.log(JSON.stringify({ kind, message: error instanceof Error ? error.message : String(error) }));
}
