// SPDX-License-Identifier: Apache-2.0
// Why an upstream could not be connected to, in a few words, and for a unix socket what to do.
import type { ServerAddress } from "../config/endpoints.ts";
import { codeOf, messageOf } from "../failure.ts";

const socketRemedies: Readonly<Record<string, string>> = {
  EACCES: "no permission: let ttgate run as a member of the socket's group, or chmod the socket and its directories",
  EPERM: "no permission: let ttgate run as a member of the socket's group, or chmod the socket and its directories",
  ENOENT: "there is no such socket: start the server, or correct the path",
  ECONNREFUSED: "nobody listens on this socket: start the server",
};

/** `ECONNREFUSED` says more than Bun's "Failed to connect". */
export function connectError(error: unknown, server: ServerAddress): string {
  const code = codeOf(error);
  if (code === undefined) return messageOf(error);
  const remedy = "path" in server ? socketRemedies[code] : undefined;
  return remedy === undefined ? code : `${code}, ${remedy}`;
}
