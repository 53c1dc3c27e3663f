// SPDX-License-Identifier: Apache-2.0
// Where the status endpoint listens, and the token that changes take.
import process from "node:process";
import { formatStatus, type StatusAddress } from "../config/endpoints.ts";
import { isLoopback } from "../core/address.ts";
import { Failure } from "../failure.ts";
import { cannotListen } from "../gate/listen_error.ts";
import { hostAddresses } from "../host/addresses.ts";
import { forOwnerOnly, freeSocketPath } from "../host/unix_socket.ts";
import type { HttpServer, Runtime } from "../runtime/types.ts";
import type { AuditOptions, RequestEnv } from "../status/audit.ts";
import { type StatusAccess, type StatusSource, statusApp } from "../status/routes.ts";

/** Given by TTGATE_TOKEN, or made anew at each start. */
export function statusToken(): string {
  const given = process.env["TTGATE_TOKEN"];
  if (given === undefined || given === "") return crypto.getRandomValues(new Uint8Array(24)).toHex();
  // RFC 6750 2.1: what a Bearer header can carry.
  if (/^[A-Za-z0-9\-._~+/]+=*$/.test(given)) return given;
  throw new Failure("Invalid TTGATE_TOKEN: expected letters, digits and -._~+/ only", { exitCode: 2 });
}

const onUnixSocket: StatusAccess = { token: undefined, closed: false };

function accessOf(host: string, token: string, allowed: () => readonly string[]): StatusAccess {
  const ownAddresses = () => hostAddresses().map(({ prefix }) => prefix.text);
  return { token, closed: !isLoopback(host), hosts: { bound: host, ownAddresses, allowed } };
}

/** @returns undefined where it is off. @param allowedHosts --status-host. @throws Failure when the address cannot be had. */
export async function serveStatus(
  runtime: Runtime,
  address: StatusAddress,
  token: string,
  allowedHosts: () => readonly string[],
  source: StatusSource,
  audit: AuditOptions,
): Promise<HttpServer | undefined> {
  if (address.kind === "off") return undefined;
  const unix = address.kind === "unix";
  const access = unix ? onUnixSocket : accessOf(address.host, token, allowedHosts);
  const app = statusApp(source, { ...access, audit });
  const where = unix ? { unixPath: address.path } : { host: address.host, port: address.port };
  const serve = () => runtime.serve(where, (request, peer) => app.fetch(request, { peer } satisfies RequestEnv));
  if (unix) await freeSocketPath(address.path);
  try {
    return await (unix ? forOwnerOnly(serve) : serve());
  } catch (error) {
    throw cannotListen("--status", formatStatus(address), error);
  }
}
