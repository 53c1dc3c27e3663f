// SPDX-License-Identifier: Apache-2.0
// TCP ports of the loopback interface, for what cannot choose a port by itself.
import { connect, createServer } from "node:net";
import { waitFor } from "./wait.ts";

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Waits until somebody listens. */
export async function listening(port: number, host = "127.0.0.1"): Promise<void> {
  await waitFor(`a listener on ${host}:${port}`, () => canConnect(port, host));
}

function canConnect(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
