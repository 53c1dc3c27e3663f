// SPDX-License-Identifier: Apache-2.0
// One TCP connection as a program of its own, to be started inside a network namespace. Prints what
// became of it as a JSON object.
//   probe_main.ts HOST PORT [--from ADDR] [--hex BYTES]... [--fin] [--delay-ms N] [--wait-ms N]
import process from "node:process";
import { parseArgs } from "node:util";
import { probe } from "./probe.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    from: { type: "string" },
    hex: { type: "string", multiple: true, default: [] },
    fin: { type: "boolean", default: false },
    "delay-ms": { type: "string", default: "0" },
    "wait-ms": { type: "string", default: "1000" },
  },
});
const [host = "", port = "0"] = positionals;
const result = await probe({
  host,
  port: Number(port),
  send: values.hex.map((hex) => Uint8Array.fromHex(hex)),
  fin: values.fin,
  delayMs: Number(values["delay-ms"]),
  waitMs: Number(values["wait-ms"]),
  ...(values.from === undefined ? {} : { from: values.from }),
});
process.stdout.write(`${JSON.stringify(result)}\n`);
