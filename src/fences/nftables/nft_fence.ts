// SPDX-License-Identifier: Apache-2.0
// The fence that nftables makes, for interfaces and hosts without XDP: bans as elements of sets whose time-outs the
// kernel counts, and a rule that drops what they name. It goes into the kernel by the program nft, a moment after it
// was put; until then user space refuses.
import type { Prefix } from "../../core/address.ts";
import type { Fence, FenceEntry, FenceOutcome, FencePlace, FenceRecord, FenceStatus } from "../../core/bans/fence.ts";
import { interfaceNames } from "../../host/addresses.ts";
import type { Log } from "../../log.ts";
import { interfaceMissing } from "../xdp/attach/attachment.ts";
import type { Entries } from "./entries.ts";
import { setOf } from "./ruleset.ts";
import type { Table } from "./table.ts";

/** Each as many as were measured; a hash set of the kernel grows as it fills. */
const sourcesMost = 262_144;
const rangesMost = 65_536;
const sliceSize = 1000;
const presenceMs = 500;

/** What is guarded, and may change. */
export interface Guarding {
  places: readonly string[];
  /** "all" with --scope host. */
  ports: readonly number[] | "all";
}

export interface NftFenceParts {
  /** Of the table. */
  readonly name: string;
  readonly table: Table;
  readonly entries: Entries;
  readonly guarding: Guarding;
  /** What a source of IPv6 is masked to. */
  readonly ipv6PrefixBits: number;
  /** The table was there before. */
  readonly stoodBefore: boolean;
  readonly nowMs: () => number;
  readonly log: Log;
}

export class NftFence implements Fence {
  readonly #parts: NftFenceParts;
  #isClosed = false;
  #present: ReadonlySet<string> = new Set();
  #presentMs = Number.NEGATIVE_INFINITY;

  constructor(parts: NftFenceParts) {
    this.#parts = parts;
  }

  get stoodBefore(): boolean {
    return this.#parts.stoodBefore;
  }

  mapOf(prefix: Prefix): string {
    return this.#isSource(prefix) ? this.#sources : this.#ranges;
  }

  get #sources(): string {
    return `nftables ${this.#parts.name}`;
  }

  get #ranges(): string {
    return `${this.#sources} ranges`;
  }

  #isSource({ ipv4, bits }: Prefix): boolean {
    return bits === (ipv4 ? 128 : this.#parts.ipv6PrefixBits);
  }

  put(entry: FenceEntry): FenceOutcome {
    const outcome = this.#put(entry, this.#parts.nowMs());
    this.#parts.table.go();
    return outcome;
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    const outcomes = entries.map((entry) => this.#put(entry, undefined));
    this.#parts.table.go();
    return outcomes;
  }

  #put(entry: FenceEntry, askedMs: number | undefined): FenceOutcome {
    const { entries } = this.#parts;
    if (this.#isClosed) return { kind: "enforced" };
    if (!entries.has(entry.prefix)) {
      const [ranges, most] = this.#isSource(entry.prefix) ? [false, sourcesMost] : [true, rangesMost];
      if (this.#count(ranges) >= most) return { kind: "full" };
    }
    entries.put(entry, askedMs);
    return { kind: "enforced", isPending: true };
  }

  /** How many single sources there are, or ranges. */
  #count(isRanges: boolean): number {
    const { entries, ipv6PrefixBits } = this.#parts;
    const sources =
      entries.countIn(setOf({ ipv4: true, bits: 128 })) + entries.countIn(setOf({ ipv4: false, bits: ipv6PrefixBits }));
    return isRanges ? entries.size - sources : sources;
  }

  drop(prefix: Prefix): boolean {
    return this.dropMany([prefix]) === 1;
  }

  dropMany(prefixes: readonly Prefix[]): number {
    if (this.#isClosed) return 0;
    const dropped = prefixes.filter((prefix) => this.#parts.entries.drop(prefix)).length;
    if (dropped > 0) this.#parts.table.go();
    return dropped;
  }

  records(): Generator<readonly FenceRecord[], void, void> {
    return this.#parts.entries.records(sliceSize);
  }

  record(prefix: Prefix): FenceRecord | undefined {
    return this.#parts.entries.record(prefix);
  }

  status(): FenceStatus {
    const { table, entries, guarding } = this.#parts;
    const places = guarding.places.map((name) => this.#place(name));
    const { packets, bytes } = table.dropped;
    const failure = table.fault ?? "the table is being put right";
    return {
      fence: "nftables",
      capabilities: { counts: true, ranges: true, asks: false },
      places,
      weakest: places.find(({ attach }) => attach === "none") ?? places[0],
      ports: guarding.ports,
      map: this.#sources,
      droppedPackets: packets,
      droppedBytes: bytes,
      entries: entries.size,
      capacity: sourcesMost,
      maps: [
        { name: this.#sources, entries: this.#count(false), capacity: sourcesMost },
        { name: this.#ranges, entries: this.#count(true), capacity: rangesMost },
      ],
      evicts: false,
      managedBy: undefined,
      proof: {
        passed: table.isProven,
        failure: table.isProven ? undefined : failure,
        atMs: table.lookedMs,
      },
      faults: table.fault === undefined ? [] : [table.fault],
    };
  }

  #place(name: string): FencePlace {
    const nowMs = this.#parts.nowMs();
    if (nowMs - this.#presentMs >= presenceMs) {
      this.#present = new Set(["lo", ...interfaceNames()]);
      this.#presentMs = nowMs;
    }
    const { fault } = this.#parts.table;
    const reason = this.#present.has(name) ? fault : interfaceMissing;
    return { name, attach: reason === undefined ? "nftables" : "none", reason };
  }

  /** nft is asked for no answer: it would take longer than whoever asks may wait. */
  ask(): undefined {}

  /** These ports are guarded from now on and no others. */
  guard(ports: readonly number[] | "all"): void {
    this.#parts.guarding.ports = ports;
    if (!this.#isClosed) this.#parts.table.reshape();
  }

  cover(places: readonly string[]): void {
    const { guarding, table } = this.#parts;
    if (this.#isClosed || guarding.places.join() === places.join()) return;
    guarding.places = places;
    table.reshape();
  }

  /** The kernel ends its elements itself. */
  tick(): void {
    if (!this.#isClosed) this.#parts.table.go();
  }

  /** A process that was to take over did not. */
  reclaim(): void {
    this.#parts.table.rewrite();
  }

  /** Another process has the table now. */
  handOver(): void {
    this.#isClosed = true;
    void this.#parts.table.stop();
  }

  async close(keep: boolean): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#parts.table.close(keep);
  }
}
