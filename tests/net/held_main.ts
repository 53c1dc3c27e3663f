// SPDX-License-Identifier: Apache-2.0
// A gate alone in its process, without the clients and the server, whose heap is to be looked at: prints its port,
// and for each line of standard input what is alive after a full collection.
//   held_main.ts UPSTREAM_PORT
import { heapStats } from "bun:jsc";
import process from "node:process";
import { createInterface } from "node:readline";
import { Bed, host } from "./bed.ts";

await using bed = await Bed.open({ upstreams: [{ host, port: Number(process.argv[2]) }] });
console.log(JSON.stringify({ port: bed.port }));
for await (const _ of createInterface({ input: process.stdin })) {
  // What is relayed is settled at the second look.
  for (let look = 0; look < 2; look++) await bed.gate.settle();
  Bun.gc(true);
  const { objectTypeCounts } = heapStats();
  console.log(JSON.stringify({ sessions: bed.sessions.size, objectTypeCounts }));
}
