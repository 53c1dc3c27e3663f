// SPDX-License-Identifier: Apache-2.0
// Connects again and again at a rate, whatever became of the connections before, and prints a line of JSON for
// each: `bun load_main.ts HOST PORT RATE HEX`, until SIGTERM. A connection is served when the first byte comes back.
import { createConnection } from "node:net";
import process from "node:process";

const [host = "", port = "", rate = "", hex = ""] = process.argv.slice(2);
const request = Buffer.from(hex, "hex");
const startMs = performance.now();
let begun = 0;
let open = 0;

console.log("ready");
const timer = setInterval(() => {
  const due = ((performance.now() - startMs) / 1000) * Number(rate);
  for (; begun < due; begun++) knock();
}, 1);
let isEnding = false;
process.on("SIGTERM", () => {
  isEnding = true;
  clearInterval(timer);
});

function knock(): void {
  const atMs = performance.now();
  const wallMs = Date.now();
  open++;
  let isOver = false;
  const socket = createConnection({ host, port: Number(port) });
  const finish = (outcome: string) => {
    if (isOver) return;
    isOver = true;
    open--;
    console.log(JSON.stringify({ wallMs, tookMs: performance.now() - atMs, outcome }));
    socket.destroy();
    if (isEnding && open === 0) process.exit(0);
  };
  socket.setTimeout(5000, () => finish("silent"));
  socket.on("connect", () => socket.write(request));
  socket.on("data", () => finish("served"));
  socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? "error"));
  socket.on("close", () => finish("closed"));
}
