// SPDX-License-Identifier: Apache-2.0
// Opens a fence, gives up what it can and goes on working; prints as JSON what that came to:
// `privileges_main.ts MAP INTERFACE [USER]`.
import process from "node:process";
import { requirePrefix } from "../../src/core/address.ts";
import { openXdpFence } from "../../src/fences/xdp/open.ts";
import { bootClock } from "../../src/kernel/clock.ts";
import { dropPrivileges } from "../../src/kernel/privileges.ts";
import { currentRuntime } from "../../src/runtime/select.ts";

const [map = "", name = "", user] = process.argv.slice(2);
const { native } = await currentRuntime();
const nowMs = bootClock();
const log: string[] = [];
try {
  const fence = await openXdpFence({
    native,
    map,
    interfaces: [name],
    ports: [5000],
    scope: "port",
    ipv6PrefixBits: 64,
    version: "0.0.1",
    nowMs,
    log: (level, message) => log.push(`${level} ${message}`),
  });
  const privileges = await dropPrivileges({ native, paths: fence.pins, ...(user === undefined ? {} : { user }) });
  const entry = {
    prefix: requirePrefix("192.0.2.1"),
    expiresMs: nowMs() + 60_000,
    reason: "manual",
    origin: "operator",
  } as const;
  const put = fence.put(entry).kind;
  const many = fence.putMany(
    ["192.0.2.0/28", "2001:db8::/64"].map((text) => ({ ...entry, prefix: requirePrefix(text) })),
  );
  fence.tick(nowMs());
  fence.prove(nowMs());
  const { proof, weakest } = fence.status();
  const works = {
    put,
    many: many.map(({ kind }) => kind),
    dropped: fence.drop(entry.prefix),
    proof: proof?.passed,
    attach: weakest?.attach,
  };
  fence.close(false);
  console.log(JSON.stringify({ privileges, works, log: log.filter((line) => !line.startsWith("info")) }));
} catch (error) {
  console.log(JSON.stringify({ failed: error instanceof Error ? error.message : String(error) }));
}
