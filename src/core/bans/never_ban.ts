// SPDX-License-Identifier: Apache-2.0
// Addresses that no path can ban: the host's own, gateways, upstreams, what the operator allows. Each
// keeps why it is there, for the log and `ttgate status`.
import { isIpv4, type Prefix, sameHead } from "../address.ts";
import type { Client } from "../client.ts";

export interface NeverBanEntry {
  readonly prefix: Prefix;
  /** "own address of eth0", "gateway of eth0", "upstream", "--allow". */
  readonly why: string;
}

export class NeverBan {
  readonly #entries = new Map<string, { readonly entry: NeverBanEntry; readonly bytes: Uint8Array }>();

  constructor(entries: readonly NeverBanEntry[] = []) {
    for (const entry of entries) this.add(entry);
  }

  /** The first reason given for a prefix stays. */
  add(entry: NeverBanEntry): void {
    const { text, bytes } = entry.prefix;
    if (!this.#entries.has(text)) this.#entries.set(text, { entry, bytes });
  }

  /** The whole list anew. @returns false when it is the same as before. */
  replace(entries: readonly NeverBanEntry[]): boolean {
    const before = [...this.#entries.keys()];
    this.#entries.clear();
    for (const entry of entries) this.add(entry);
    return before.length !== this.#entries.size || before.some((text) => !this.#entries.has(text));
  }

  entries(): readonly NeverBanEntry[] {
    return [...this.#entries.values()].map(({ entry }) => entry);
  }

  /** What stands against a ban of this prefix: an entry that it would cover, or that covers it. */
  conflict(prefix: Prefix): NeverBanEntry | undefined {
    if (this.#entries.size === 0) return undefined;
    const { bits, bytes } = prefix;
    const ipv4 = isIpv4(prefix);
    for (const { entry, bytes: protectedBytes } of this.#entries.values()) {
      if (isIpv4(entry.prefix) !== ipv4) continue;
      if (sameHead(protectedBytes, bytes, Math.min(bits, entry.prefix.bits))) return entry;
    }
    return undefined;
  }

  /**
   * The widest part of a client's source that may be banned: the source, or, where a protected address
   * is its neighbour in the same IPv6 network, the client's single address.
   */
  bannable(client: Client): { readonly prefix: Prefix } | { readonly conflict: NeverBanEntry } {
    const conflict = this.conflict(client.source());
    if (conflict === undefined) return { prefix: client.source() };
    const closer = this.conflict(client.single());
    return closer === undefined ? { prefix: client.single() } : { conflict: closer };
  }
}
