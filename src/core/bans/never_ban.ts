// SPDX-License-Identifier: Apache-2.0
// Addresses that no path can ban: the host's own, gateways, upstreams, what the operator allows. Each
// keeps why it is there, for the log and `ttgate status`.
import { overlap, type Prefix } from "../address.ts";
import type { Client } from "../client.ts";

export interface NeverBanEntry {
  readonly prefix: Prefix;
  /** "own address of eth0", "gateway of eth0", "upstream", "--allow". */
  readonly why: string;
}

export class NeverBan {
  readonly #entries = new Map<string, NeverBanEntry>();

  constructor(entries: readonly NeverBanEntry[] = []) {
    for (const entry of entries) this.add(entry);
  }

  /** The first reason given for a prefix stays. */
  add(entry: NeverBanEntry): void {
    const { text } = entry.prefix;
    if (!this.#entries.has(text)) this.#entries.set(text, entry);
  }

  /** The whole list anew. @returns what was not in it before. */
  replace(entries: readonly NeverBanEntry[]): readonly NeverBanEntry[] {
    const before = new Set(this.#entries.keys());
    this.#entries.clear();
    for (const entry of entries) this.add(entry);
    return this.entries().filter(({ prefix }) => !before.has(prefix.text));
  }

  entries(): readonly NeverBanEntry[] {
    return [...this.#entries.values()];
  }

  /** What stands against a ban of this prefix: an entry that it would cover, or that covers it. */
  conflict(prefix: Prefix): NeverBanEntry | undefined {
    for (const entry of this.#entries.values()) if (overlap(entry.prefix, prefix)) return entry;
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
