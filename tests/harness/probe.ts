// SPDX-License-Identifier: Apache-2.0
// One TCP connection from the point of view of somebody who knocks: what was sent, and how it ended.
import { createConnection } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { run } from "./child.ts";

export interface ProbeOptions {
  readonly host: string;
  readonly port: number;
  readonly from?: string;
  /** Each piece is a segment of its own. */
  readonly send?: readonly Uint8Array[];
  /** Says nothing for so long at first. */
  readonly delayMs?: number;
  /** Ends the sending side after that. */
  readonly fin?: boolean;
  /** How long to wait for the end. */
  readonly waitMs?: number;
}

export interface ProbeResult {
  /**
   * `no answer`: not even the handshake. `unreachable`: nobody was asked, or a router said no. `open`: still there when
   * the time was over.
   */
  readonly outcome: "refused" | "no answer" | "unreachable" | "reset" | "ended" | "open";
  readonly received: string;
}

/** A pause that is long enough for a segment of its own on one machine. */
const betweenPiecesMs = 2;

export function probe(options: ProbeOptions): Promise<ProbeResult> {
  const { host, port, from, send = [], fin = false, delayMs = 0, waitMs = 1000 } = options;
  return new Promise((resolve) => {
    let connected = false;
    let received = "";
    const socket = createConnection({
      host,
      port,
      allowHalfOpen: true,
      ...(from === undefined ? {} : { localAddress: from }),
    });
    const finish = (outcome: ProbeResult["outcome"]) => {
      clearTimeout(timer);
      resolve({ outcome, received });
      socket.destroy();
    };
    const timer = setTimeout(() => finish(connected ? "open" : "no answer"), waitMs);
    socket.setNoDelay();
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
    });
    socket.on("error", ({ code }: NodeJS.ErrnoException) => {
      if (connected || code === "ECONNRESET") finish("reset");
      else finish(code === "ECONNREFUSED" ? "refused" : "unreachable");
    });
    socket.on("end", () => finish("ended"));
    socket.on("connect", async () => {
      connected = true;
      if (delayMs > 0) await new Promise((next) => setTimeout(next, delayMs));
      for (const piece of send) {
        if (socket.destroyed) return;
        socket.write(piece);
        if (send.length > 1) await new Promise((next) => setTimeout(next, betweenPiecesMs));
      }
      if (fin) socket.end();
    });
  });
}

/** The same from inside a network namespace. */
export async function probeFrom(namespace: string, options: ProbeOptions): Promise<ProbeResult> {
  const flags = [
    ...(options.from === undefined ? [] : ["--from", options.from]),
    ...(options.send ?? []).flatMap((piece) => ["--hex", Buffer.from(piece).toString("hex")]),
    ...(options.fin === true ? ["--fin"] : []),
    ...["--delay-ms", String(options.delayMs ?? 0)],
    ...["--wait-ms", String(options.waitMs ?? 1000)],
  ];
  const script = join(import.meta.dirname, "probe_main.ts");
  const result = await run([process.execPath, script, options.host, String(options.port), ...flags], { namespace });
  if (result.code !== 0) throw new Error(`Cannot probe ${options.host}:${options.port}: ${result.stderr}`);
  return JSON.parse(result.stdout) as ProbeResult;
}
