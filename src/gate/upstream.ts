// SPDX-License-Identifier: Apache-2.0
// One of the servers behind a gate: where it is, and what was seen of it.
import { isIP } from "node:net";
import { formatServer, type HostPort, type ServerAddress } from "../config/endpoints.ts";
import type { ConnectTarget } from "../runtime/types.ts";

/** What is seen of an upstream changes its state after so many times in a row. */
export interface Thresholds {
  /** Successes until one that was down is up. */
  readonly rise: number;
  /** Failures until one that was up is down. */
  readonly fall: number;
}

export interface UpstreamStatus {
  readonly address: string;
  /** Undefined until the first attempt has ended. */
  readonly reachable: boolean | undefined;
  /** Of the last attempt, also while it is still taken to be reachable. */
  readonly error: string | undefined;
  readonly active: number;
  /** Connections that were opened for clients. */
  readonly total: number;
  /** Attempts that failed, for clients and for a look. */
  readonly failed: number;
  /** Where its name leads; undefined for an address or a path, and before it is known. */
  readonly resolved: string | undefined;
  /** Why its name does not resolve at the moment. */
  readonly unresolved: string | undefined;
}

export class Upstream {
  readonly server: ServerAddress;
  readonly text: string;
  reachable: boolean | undefined;
  error: string | undefined;
  active = 0;
  total = 0;
  failed = 0;
  lastTriedMs = Number.NEGATIVE_INFINITY;
  isLookedAt = false;
  /** Where a name led when last asked; a name whose address refuses is asked again. */
  dialled: string | undefined;
  /** The gate of this process at which connections to it arrive. */
  leadsTo: string | undefined;
  /** They come back to the gate that opens them: no client is to be relayed. */
  isRing = false;
  /** When it was last looked where a client's connection arrives. */
  followedMs = Number.NEGATIVE_INFINITY;
  /** Connects without an answer yet, also those that nobody waits for any more. */
  unanswered = 0;
  /** What was seen last, so many times in a row, speaks against the state. */
  #against = 0;
  /** Where it was dialled last. */
  #at: HostPort | undefined;

  constructor(server: ServerAddress) {
    this.server = server;
    this.text = formatServer(server);
    if (this.name === undefined && "host" in server) this.dialled = server.host;
  }

  /** Undefined for an address or a path. */
  get name(): string | undefined {
    const { server } = this;
    return "host" in server && isIP(server.host) === 0 ? server.host : undefined;
  }

  /** Where to connect to; undefined for a name that was not resolved yet. */
  get target(): ConnectTarget | undefined {
    if ("path" in this.server) return this.server;
    if (this.dialled === undefined) return undefined;
    // Asked for by each connection.
    if (this.#at?.host !== this.dialled) this.#at = { host: this.dialled, port: this.server.port };
    return this.#at;
  }

  /** At one of its addresses. */
  at(host: string): ConnectTarget {
    return "path" in this.server ? this.server : { host, port: this.server.port };
  }

  /**
   * It is not to be used, whatever was seen before.
   * @returns true when the state is another one now.
   */
  refuse(error: string): boolean {
    const wasRefused = this.reachable === false;
    this.error = error;
    this.reachable = false;
    this.#against = 0;
    return !wasRefused;
  }

  /**
   * An attempt ended. The first one decides by itself.
   * @param error undefined when it succeeded.
   * @returns true when the state is another one now.
   */
  saw(error: string | undefined, { rise, fall }: Thresholds): boolean {
    const isUp = error === undefined;
    if (!isUp) this.failed++;
    this.error = error;
    if (isUp === this.reachable) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.reachable !== undefined && this.#against < (isUp ? rise : fall)) return false;
    this.#against = 0;
    this.reachable = isUp;
    return true;
  }
}
