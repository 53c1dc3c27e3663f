// SPDX-License-Identifier: Apache-2.0
// The stand-in as a program of its own, to be started inside a network namespace. It prints a JSON
// object a line: `{"ready":...}` first, then counters (server) or latencies (client) once a second or
// as often as --report-ms says, and a last line with `"done":true`.
//   tapetrack_main.ts server --host ADDR --port N
//   tapetrack_main.ts client --host ADDR --port N [--from ADDR] [--rate N] [--seconds N] [--reconnect N] [--vary]
import { randomBytes } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import { serveTapeTrack, TapeTrackClient } from "./tapetrack.ts";
import type { WireVariant } from "./tapetrack_wire.ts";
import { sleep } from "./wait.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    from: { type: "string" },
    variant: { type: "string", default: "bare" },
    /** Packets a second. */
    rate: { type: "string", default: "20" },
    seconds: { type: "string", default: "3600" },
    /** A new connection after this many packets. */
    reconnect: { type: "string", default: "25" },
    /** Packets of many sizes instead of one. */
    vary: { type: "boolean", default: false },
    "report-ms": { type: "string", default: "1000" },
  },
});
const variant: WireVariant = values.variant === "length" ? "length" : "bare";
const port = Number(values.port);
const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
let stopped = false;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    stopped = true;
  });
}

async function server(): Promise<void> {
  await using standIn = await serveTapeTrack({ host: values.host, port, variant });
  print({ ready: true, port: standIn.port });
  let reportedAt = performance.now();
  while (!stopped) {
    await sleep(20);
    if (performance.now() - reportedAt < Number(values["report-ms"])) continue;
    reportedAt = performance.now();
    print(standIn.counters);
  }
  print({ done: true, ...standIn.counters });
}

/** What cannot be packed makes packets longer. */
function label(packet: number): string {
  return values.vary ? randomBytes((packet * 37) % 300).toString("base64") : "tape ".repeat(20);
}

async function client(): Promise<void> {
  const endMs = performance.now() + Number(values.seconds) * 1000;
  const gapMs = 1000 / Number(values.rate);
  const totals = { packets: 0, connections: 0, failures: 0 };
  let lastFailure: string | undefined;
  let reportedAt = performance.now();
  let latencies: number[] = [];
  let connection: TapeTrackClient | undefined;
  print({ ready: true });
  for (let at = performance.now(); !stopped && performance.now() < endMs; at += gapMs) {
    await sleep(Math.max(0, at - performance.now()));
    try {
      if (totals.packets % Number(values.reconnect) === 0) {
        connection?.[Symbol.dispose]();
        connection = undefined;
      }
      if (connection === undefined) {
        connection = await TapeTrackClient.connect({
          host: values.host,
          port,
          variant,
          ...(values.from === undefined ? {} : { localAddress: values.from }),
        });
        totals.connections++;
      }
      latencies.push(
        await connection.exchange(`volume ${totals.packets} slot ${totals.packets % 977} ${label(totals.packets)}`),
      );
      totals.packets++;
    } catch (error) {
      totals.failures++;
      lastFailure = String(error);
      connection?.[Symbol.dispose]();
      connection = undefined;
    }
    if (performance.now() - reportedAt >= Number(values["report-ms"])) {
      reportedAt = performance.now();
      print({ ...totals, lastFailure, latenciesMs: latencies.map((ms) => Math.round(ms * 1000) / 1000) });
      latencies = [];
    }
  }
  connection?.[Symbol.dispose]();
  print({ done: true, ...totals, lastFailure, latenciesMs: latencies });
}

await (positionals[0] === "server" ? server() : client());
