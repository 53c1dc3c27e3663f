// SPDX-License-Identifier: Apache-2.0
// Records what a real client sends first: `bun tests/vectors/record.ts PROTOCOL NAME -- COMMAND...`, with
// HOST and PORT in the command standing for a listener on loopback that says nothing (or, with --greet
// TEXT, says that first). Prints one vector as JSON.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";

const quietMs = 700;
const limitMs = 5000;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { greet: { type: "string" } } });
const [protocol, name, ...command] = positionals;
if (protocol === undefined || name === undefined || command.length === 0) {
  throw new Error("Record a vector: arguments are missing; give PROTOCOL NAME -- COMMAND with HOST and PORT in it");
}

const chunks: Uint8Array[] = [];
const server = createServer((socket) => {
  if (values.greet !== undefined) socket.write(JSON.parse(`"${values.greet}"`));
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    chunks.push(Uint8Array.from(chunk));
    clearTimeout(timer);
    timer = setTimeout(finish, quietMs);
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = server.address();
const port = typeof address === "object" && address !== null ? String(address.port) : "";
const [program = "", ...args] = command.map((part) => part.replaceAll("HOST", "127.0.0.1").replaceAll("PORT", port));
const client = spawn(program, args, { stdio: ["pipe", "ignore", "inherit"] });
let timer = setTimeout(finish, limitMs);

function finish(): void {
  client.kill("SIGKILL");
  const bytes = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
  const latin = String.fromCharCode(...bytes);
  const content = /^[\t\r\n -~]*$/.test(latin) ? { text: latin } : { hex: Array.from(bytes, hexOf).join("") };
  console.log(JSON.stringify({ protocol, name, source: `recorded: ${command.join(" ")}`, ...content }));
  process.exit(0);
}

function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
