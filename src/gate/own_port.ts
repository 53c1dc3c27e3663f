// SPDX-License-Identifier: Apache-2.0
// Whether an address leads back to the gate itself. A name may do so at any time: the gate would relay one client to
// itself until all places are taken.
import { isIPv6 } from "node:net";
import type { Options } from "../config/options.ts";
import { reaches } from "../config/servers.ts";
import { isLoopback, parsePrefix } from "../core/address.ts";
import { hostAddresses } from "../host/addresses.ts";
import type { ConnectTarget } from "../runtime/types.ts";

/** Reading them takes system calls, and many servers listen on the same port as their gate. */
const addressesMs = 500;

export class OwnPort {
  readonly #config: () => Pick<Options, "listen" | "mode">;
  #addresses: ReadonlySet<string> = new Set();
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(config: () => Pick<Options, "listen" | "mode">) {
    this.#config = config;
  }

  /** In inline mode it is the server's, and so never. */
  isReachedBy(target: ConnectTarget): boolean {
    const { listen, mode } = this.#config();
    if (mode === "inline" || "path" in target) return false;
    // 0.0.0.0 takes no IPv6.
    const isOwn = (host: string) => (listen.host !== "0.0.0.0" || !isIPv6(host)) && this.#isOwn(host);
    return reaches(listen, target, isOwn);
  }

  #isOwn(host: string): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#readMs >= addressesMs) {
      this.#addresses = new Set(hostAddresses().map(({ prefix }) => prefix.text));
      this.#readMs = nowMs;
    }
    return isLoopback(host) || this.#addresses.has(parsePrefix(host)?.text ?? host);
  }
}
