// SPDX-License-Identifier: Apache-2.0
// Clients that come at a steady rate, each with a connection of its own: a packet, its answer, and away. They do not
// wait for one another, so that none is slower for the others. Prints JSON on SIGTERM.
//   arrivals_main.ts --host ADDR --port N --rate N [--from ADDR]...
import process from "node:process";
import { parseArgs } from "node:util";
import { untilStopped } from "./paced.ts";
import { TapeTrackClient } from "./tapetrack.ts";

export interface Arrivals {
  readonly arrived: number;
  readonly served: number;
  /** By what was said. */
  readonly failures: Readonly<Record<string, number>>;
  /** From the first segment to the answer, in milliseconds. */
  readonly longestMs: number;
}

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    rate: { type: "string", default: "500" },
    from: { type: "string", multiple: true, default: [] },
  },
});
const { host, from } = values;
const port = Number(values.port);
let arrived = 0;
let served = 0;
let longestMs = 0;
const failures: Record<string, number> = {};

async function arrive(): Promise<void> {
  const localAddress = from[arrived++ % Math.max(1, from.length)];
  const began = performance.now();
  try {
    using client = await TapeTrackClient.connect({
      ...{ host, port },
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    await client.exchange(`arrival ${arrived}`);
    served++;
    longestMs = Math.max(longestMs, performance.now() - began);
  } catch (error) {
    const said = String(error);
    failures[said] = (failures[said] ?? 0) + 1;
  }
}

await untilStopped(Number(values.rate), arrive);
process.stdout.write(`${JSON.stringify({ arrived, served, failures, longestMs } satisfies Arrivals)}\n`);
process.exit(0);
