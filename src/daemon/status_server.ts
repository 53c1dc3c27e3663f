// SPDX-License-Identifier: Apache-2.0
// Where the status endpoint listens, and the token that changes take.
import process from "node:process";
import { formatStatus, type StatusAddress } from "../config/endpoints.ts";
import { isLoopback } from "../core/address.ts";
import { bearerToken } from "../core/bearer_token.ts";
import { Failure } from "../failure.ts";
import { cannotListen } from "../gate/listen_error.ts";
import { hostAddresses } from "../host/addresses.ts";
import { identityAt, wasRemoved } from "../host/file_identity.ts";
import { forOwnerOnly, freeSocketPath, makeDirectoryOf } from "../host/unix_socket.ts";
import type { Log } from "../log.ts";
import type { HttpAddress, HttpServer, Runtime } from "../runtime/types.ts";
import type { AuditOptions } from "../status/audit.ts";
import { type StatusAccess, type StatusSource, statusHandler } from "../status/routes.ts";
import { type Passage, passOn } from "./passage.ts";

/** After a flood of connections; the next one would take a moment as well. */
const closedMs = 5000;

/** Given by TTGATE_TOKEN, or made anew at each start. */
export function statusToken(): string {
  const given = bearerToken(process.env["TTGATE_TOKEN"]);
  if ("error" in given) throw new Failure(given.error, { exitCode: 2 });
  return given.token ?? crypto.getRandomValues(new Uint8Array(24)).toHex();
}

const onUnixSocket: StatusAccess = { token: undefined, closed: false };

function accessOf(host: string, token: string, allowed: () => readonly string[]): StatusAccess {
  const ownAddresses = () => hostAddresses().map(({ prefix }) => prefix.text);
  return { token, closed: !isLoopback(host), hosts: { bound: host, ownAddresses, allowed } };
}

export interface StatusServerParts {
  readonly runtime: Runtime;
  readonly address: StatusAddress;
  readonly token: string;
  /** --status-host. */
  readonly allowedHosts: () => readonly string[];
  readonly source: StatusSource;
  readonly audit: AuditOptions;
  /** A socket that listens at the address, from elsewhere. */
  readonly descriptor: number | undefined;
  /** Of a socket between that one and the HTTP server. */
  readonly innerPath: string;
  readonly log: Log;
}

export class StatusServer {
  readonly #parts: StatusServerParts;
  #server: HttpServer | undefined;
  /** Of the unix socket that it listens on. */
  #socket: { readonly path: string; readonly identity: string | undefined } | undefined;
  #passage: Passage | undefined;
  #spare: number | undefined;
  #closedUntilMs = 0;

  constructor(parts: StatusServerParts) {
    this.#parts = parts;
    this.#spare = parts.descriptor;
  }

  /** The socket from elsewhere, for another process. */
  get descriptor(): number | undefined {
    return this.#passage?.descriptor ?? this.#spare;
  }

  /** Nothing where it is off, open and there to be found, or closed for a moment. @throws Failure when the address cannot be had. */
  async open(nowMs = Number.POSITIVE_INFINITY): Promise<void> {
    const { runtime, address, token, allowedHosts, source, audit, innerPath, log } = this.#parts;
    if (address.kind === "off" || nowMs < this.#closedUntilMs) return;
    const gone = this.#gone();
    if (this.#server !== undefined && gone === undefined) return;
    if (gone !== undefined) {
      // First: where another process has taken the path, what is open goes on.
      await freeSocketPath(gone);
      await this.#server?.close();
      this.#server = undefined;
    }
    const isUnix = address.kind === "unix";
    const access = isUnix ? onUnixSocket : accessOf(address.host, token, allowedHosts);
    const handler = statusHandler(source, { ...access, audit });
    const serve = (where: HttpAddress) => runtime.serve(where, handler);
    const serveUnix = async (unixPath: string) => {
      makeDirectoryOf(unixPath);
      await freeSocketPath(unixPath);
      const server = await forOwnerOnly(() => serve({ unixPath }));
      this.#socket = { path: unixPath, identity: identityAt(unixPath) };
      return server;
    };
    const fd = this.#spare;
    try {
      if (this.#passage !== undefined) this.#server = await serveUnix(innerPath);
      else if (fd !== undefined) {
        this.#server = await serveUnix(innerPath);
        this.#passage = await passOn(runtime, fd, innerPath);
        this.#spare = undefined;
      } else if (isUnix) this.#server = await serveUnix(address.path);
      else this.#server = await serve({ host: address.host, port: address.port });
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw cannotListen("--status", formatStatus(address), error);
    }
    if (gone !== undefined) log("warn", `"${gone}" was removed and is made again: the status endpoint is there`);
  }

  /** The path of the unix socket, when somebody has removed it. */
  #gone(): string | undefined {
    const socket = this.#socket;
    return socket !== undefined && wasRemoved(socket.path, socket.identity) ? socket.path : undefined;
  }

  /**
   * Ends all its connections, and takes new ones a few seconds later. A unix socket of its own stays: it is for the
   * owner alone, and could not be made anew by another user (--user).
   */
  async dropConnections(nowMs: number): Promise<void> {
    if (this.#passage !== undefined) return this.#passage.dropConnections();
    if (this.#parts.address.kind === "unix") return;
    this.#closedUntilMs = nowMs + closedMs;
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#passage?.close();
    this.#passage = undefined;
    const server = this.#server;
    this.#server = undefined;
    this.#socket = undefined;
    await server?.close();
  }
}
