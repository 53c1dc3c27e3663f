// SPDX-License-Identifier: Apache-2.0
// The fence that the kernel makes: bans as entries of maps, and a program on the interfaces that drops
// what they name. Does not decide who is banned, and owns no timer: the gate calls `tick`.
import type { Prefix } from "../../core/address.ts";
import type {
  AttachMode,
  Fence,
  FenceEntry,
  FenceInterface,
  FenceOutcome,
  FenceRecord,
  FenceStatus,
} from "../../core/bans/fence.ts";
import type { PacketFilter } from "./attach/packet_filter.ts";
import type { InlineJudge } from "./inline/inline_judge.ts";
import type { BanStores } from "./maps/ban_stores.ts";

/** A tick may take this long for entries that are over: relays wait meanwhile. */
const sweepMs = 2;

/** From the strongest to the weakest. */
const ladder: readonly AttachMode[] = ["native", "generic", "tc", "none"];

export class KernelFence implements Fence {
  readonly #stores: BanStores;
  readonly #filter: PacketFilter;
  /** The maps were there before: a start that fails later must leave them, and what blocks by them. */
  readonly stoodBefore: boolean;
  /** Of a program that judges by itself. */
  readonly judge: InlineJudge | undefined;
  #closed = false;

  constructor(stores: BanStores, filter: PacketFilter, stoodBefore: boolean, judge?: InlineJudge) {
    this.#stores = stores;
    this.#filter = filter;
    this.stoodBefore = stoodBefore;
    this.judge = judge;
  }

  mapOf(prefix: Prefix): string {
    return (this.#stores.storeOf(prefix) ?? this.#stores.main).name;
  }

  put(entry: FenceEntry): FenceOutcome {
    return this.#stores.put(entry);
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    return this.#stores.putMany(entries);
  }

  drop(prefix: Prefix): boolean {
    return this.#stores.drop(prefix);
  }

  dropMany(prefixes: readonly Prefix[]): number {
    return this.#stores.dropMany(prefixes);
  }

  records(): Generator<readonly FenceRecord[], void, void> {
    return this.#stores.records();
  }

  record(prefix: Prefix): FenceRecord | undefined {
    return this.#stores.record(prefix);
  }

  status(): FenceStatus {
    const interfaces = this.#filter.interfaces();
    const weakest = interfaces.reduce<FenceInterface | undefined>(
      (worst, next) =>
        worst === undefined || ladder.indexOf(next.attach) > ladder.indexOf(worst.attach) ? next : worst,
      undefined,
    );
    const dropped = this.#filter.dropped();
    const { name, entries, capacity, evicts } = this.#stores.main;
    return {
      attach: weakest?.attach ?? "none",
      reason: weakest === undefined ? "no interface was given" : weakest.reason,
      interfaces,
      map: name,
      droppedPackets: dropped.packets,
      droppedBytes: dropped.bytes,
      entries,
      capacity,
      evicts,
      managedBy: this.#filter.managedBy(),
      proof: this.#filter.proof(),
    };
  }

  /** What the live program does with a packet from this address to the guarded port; undefined without one. */
  ask(source: Prefix): "drop" | "pass" | undefined {
    return this.#filter.ask(source);
  }

  /** Paths of everything that ttgate has pinned: a user who takes over is to own them. */
  get pins(): readonly string[] {
    return this.#filter.pins();
  }

  /** Tries the live program out; `status` has the result. Done at the start and every minute anyway. */
  prove(nowMs: number): void {
    this.#filter.prove(nowMs);
  }

  tick(nowMs: number): void {
    this.#filter.tick(nowMs);
    const endMs = performance.now() + sweepMs;
    this.#stores.sweep(nowMs, () => performance.now() < endMs);
  }

  close(keep: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    using filter = this.#filter;
    if (!filter.detach(keep)) this.#stores.removeOurs();
  }
}
