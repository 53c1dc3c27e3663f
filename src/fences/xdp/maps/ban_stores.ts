// SPDX-License-Identifier: Apache-2.0
// Which map holds which ban: IPv4 addresses in the documented map where there is one, other exact
// sources in ttgate's own, ranges in the trie. Keeps in mind which entries of the documented map are
// ttgate's, since that map has no room to say so.
import { isIpv4, type Prefix } from "../../../core/address.ts";
import type { FenceEntry, FenceOutcome, FenceRecord, MapFill } from "../../../core/bans/fence.ts";
import { sourceBits } from "../../../core/client.ts";
import type { BanStore } from "./ban_store.ts";

export interface OwnStores {
  readonly exact: BanStore;
  readonly cidr: BanStore;
  readonly ipv6PrefixBits: number;
  /** Told the number of ranges whenever it changed. @throws KernelError */
  readonly rangesChanged: (entries: number) => void;
}

const putDone: FenceOutcome = { kind: "enforced" };

export class BanStores {
  /** The documented map. */
  readonly #ipv4: BanStore | undefined;
  /** Undefined where another program reads the documented map: nothing would read these. */
  readonly #own: OwnStores | undefined;
  /** Texts of the prefixes in the documented map that are ttgate's to remove. */
  readonly #ours = new Set<string>();
  /** Undefined: nothing was told yet. */
  #ranges: number | undefined;

  constructor(ipv4: BanStore | undefined, own: OwnStores | undefined) {
    this.#ipv4 = ipv4;
    this.#own = own;
  }

  /** The one that -B names. */
  get main(): BanStore {
    const main = this.#ipv4 ?? this.#own?.exact;
    if (main === undefined) throw new Error("A fence needs at least one map");
    return main;
  }

  /** The documented map has room for an expiry and nothing else. */
  get counts(): boolean {
    return this.#ipv4 === undefined;
  }

  get holdsRanges(): boolean {
    return this.#own !== undefined;
  }

  get #all(): readonly BanStore[] {
    return [this.#ipv4, this.#own?.exact, this.#own?.cidr].filter((store) => store !== undefined);
  }

  /** How full each map is. */
  fill(): readonly MapFill[] {
    return this.#all.map(({ name, entries, capacity }) => ({ name, entries, capacity }));
  }

  /** Undefined when no map can hold it. */
  storeOf(prefix: Prefix): BanStore | undefined {
    const ipv4 = isIpv4(prefix);
    if (ipv4 && prefix.bits === 128) return this.#ipv4 ?? this.#own?.exact;
    const own = this.#own;
    return !ipv4 && own && prefix.bits === sourceBits(prefix, own.ipv6PrefixBits) ? own.exact : own?.cidr;
  }

  put(entry: FenceEntry): FenceOutcome {
    const store = this.storeOf(entry.prefix);
    if (store === undefined) return this.#noPlace(entry.prefix);
    const outcome = store.put(entry);
    if (outcome.kind !== "enforced") return outcome;
    if (store === this.#ipv4) this.#ours.add(entry.prefix.text);
    return store === this.#own?.cidr ? this.tellRanges() : outcome;
  }

  putMany(entries: readonly FenceEntry[]): FenceOutcome[] {
    const outcomes = new Array<FenceOutcome>(entries.length);
    for (const [store, places] of this.#places(entries.map(({ prefix }) => prefix))) {
      const chosen = places.map((place) => entries[place]).filter((entry) => entry !== undefined);
      const results = this.#putInto(store, chosen);
      for (const [index, outcome] of results.entries()) outcomes[places[index] ?? 0] = outcome;
    }
    for (const [place, { prefix }] of entries.entries()) outcomes[place] ??= this.#noPlace(prefix);
    return outcomes;
  }

  #putInto(store: BanStore, entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    const results = store.putMany(entries);
    if (store === this.#own?.cidr) {
      const told = this.tellRanges();
      return results.map((outcome) => (outcome.kind === "enforced" ? told : outcome));
    }
    if (store === this.#ipv4) {
      for (const [index, { prefix }] of entries.entries()) {
        if (results[index]?.kind === "enforced") this.#ours.add(prefix.text);
      }
    }
    return results;
  }

  drop(prefix: Prefix): boolean {
    return this.dropMany([prefix]) === 1;
  }

  dropMany(prefixes: readonly Prefix[]): number {
    let dropped = 0;
    for (const [store, places] of this.#places(prefixes)) {
      const chosen = places.map((place) => prefixes[place]).filter((prefix) => prefix !== undefined);
      dropped += store.dropMany(chosen);
      if (store === this.#ipv4) for (const prefix of chosen) this.#ours.delete(prefix.text);
      if (store === this.#own?.cidr) this.tellRanges();
    }
    return dropped;
  }

  record(prefix: Prefix): FenceRecord | undefined {
    return this.storeOf(prefix)?.record(prefix);
  }

  /** True when an entry names this prefix, or a range that it lies in. */
  covers(prefix: Prefix): boolean {
    return this.storeOf(prefix)?.covers(prefix) === true || this.#own?.cidr.covers(prefix) === true;
  }

  *records(nowMs: () => number): Generator<readonly FenceRecord[], void, void> {
    for (const store of this.#all) yield* store.records(nowMs);
  }

  /** Takes out of the documented map what is over, and takes the rest on as ttgate's own. */
  adopt(nowMs: number): void {
    this.tellRanges();
    for (const records of this.#ipv4?.records(() => nowMs) ?? []) {
      for (const { prefix, origin } of records) if (origin !== "foreign") this.#ours.add(prefix.text);
    }
  }

  /** The program looks at ranges only when it is told that there are some: another tool may not have said so. */
  tellRanges(): FenceOutcome {
    if (this.#own === undefined) return putDone;
    const { cidr, rangesChanged } = this.#own;
    const ranges = cidr.isEmpty ? 0 : Math.max(1, cidr.entries);
    if (ranges === this.#ranges) return putDone;
    try {
      rangesChanged(ranges);
    } catch (error) {
      return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
    }
    this.#ranges = ranges;
    return putDone;
  }

  /** Takes ttgate's entries out of the map that stays when ttgate goes. */
  removeOurs(nowMs: number): void {
    for (const records of this.#ipv4?.records(() => nowMs) ?? []) {
      this.#ipv4?.dropMany(records.map(({ prefix }) => prefix).filter(({ text }) => this.#ours.has(text)));
    }
    this.#ours.clear();
  }

  #places(prefixes: readonly Prefix[]): ReadonlyMap<BanStore, number[]> {
    const places = new Map<BanStore, number[]>();
    for (const [place, prefix] of prefixes.entries()) {
      const store = this.storeOf(prefix);
      if (store === undefined) continue;
      const chosen = places.get(store);
      if (chosen === undefined) places.set(store, [place]);
      else chosen.push(place);
    }
    return places;
  }

  #noPlace(prefix: Prefix): FenceOutcome {
    const message = `Map "${this.main.name}" holds single IPv4 addresses only, and another program reads it: "${prefix.text}" is refused in user space`;
    return { kind: "failed", message };
  }
}
