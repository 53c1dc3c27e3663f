// SPDX-License-Identifier: Apache-2.0
// Many sources at once: one connection from each address of a range, to be started inside a network
// namespace. Prints how they ended, in the words of probe.ts, as a JSON object.
//   swarm_main.ts HOST PORT --base 10.78.0.0 --count N [--step N] [--hex BYTES] [--wait-ms N] [--parallel N]
import process from "node:process";
import { parseArgs } from "node:util";
import { probe } from "./probe.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: "string", default: "127.1.0.0" },
    count: { type: "string", default: "1" },
    step: { type: "string", default: "1" },
    hex: { type: "string" },
    "wait-ms": { type: "string", default: "5000" },
    parallel: { type: "string", default: "64" },
  },
});
const [host = "", port = "0"] = positionals;
const base = values.base.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
const count = Number(values.count);
const send = values.hex === undefined ? [] : [Uint8Array.fromHex(values.hex)];
const outcomes: Record<string, number> = {};
let next = 0;

function address(number: number): string {
  const value = base + number * Number(values.step);
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

async function worker(): Promise<void> {
  while (next < count) {
    const from = address(next++);
    const { outcome } = await probe({ host, port: Number(port), from, send, waitMs: Number(values["wait-ms"]) });
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
}

await Promise.all(Array.from({ length: Number(values.parallel) }, worker));
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
