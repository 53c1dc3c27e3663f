// SPDX-License-Identifier: Apache-2.0
// The fence that XDP makes: bans as entries of maps, and a program on the interfaces that drops what they
// name. Does not decide who is banned, and owns no timer: the daemon calls `tick`.
import type { Prefix } from "../../core/address.ts";
import type { Fence, FenceEntry, FenceOutcome, FenceRecord, FenceStatus } from "../../core/bans/fence.ts";
import { writablePath } from "../../kernel/bpffs.ts";
import { KernelError } from "../../kernel/errno.ts";
import { weakest } from "./attach/attachment.ts";
import type { PacketFilter } from "./attach/packet_filter.ts";
import type { InlineGate, InlineJudge } from "./inline/inline_judge.ts";
import type { BanStores } from "./maps/ban_stores.ts";
import type { OpenedOptions } from "./options.ts";

export interface XdpFenceParts {
  readonly options: Pick<OpenedOptions, "guarded" | "nowMs" | "log">;
  readonly stores: BanStores;
  readonly filter: PacketFilter;
  /** The maps were there before: a start that fails later must leave them, and what blocks by them. */
  readonly stoodBefore: boolean;
  /** Of a program that judges by itself. */
  readonly judge?: InlineJudge | undefined;
  /** Opens all of it once more, over the maps that are pinned then. */
  readonly reopen?: (interfaces: readonly string[], gates: readonly InlineGate[]) => XdpFenceParts;
}

/** A map that was frozen is not replaced before this: time to see it in /readyz, and not in a tool's midst. */
const renewAfterMs = 5000;

const overwritten = "What the kernel judges by was overwritten by another tool: put back";

export class XdpFence implements Fence {
  #parts: XdpFenceParts;
  #lostSinceMs: number | undefined;
  /** Why entries could not be taken out of a map, when last tried. */
  #dropRefusal: string | undefined;
  #closed = false;

  constructor(parts: XdpFenceParts) {
    this.#parts = parts;
  }

  get stoodBefore(): boolean {
    return this.#parts.stoodBefore;
  }

  get judge(): InlineJudge | undefined {
    return this.#parts.judge;
  }

  mapOf(prefix: Prefix): string {
    const { stores } = this.#parts;
    return (stores.storeOf(prefix) ?? stores.main).name;
  }

  put(entry: FenceEntry): FenceOutcome {
    if (this.#closed) return { kind: "enforced" };
    return this.#parts.stores.put(entry);
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    if (this.#closed) return entries.map(() => ({ kind: "enforced" }));
    return this.#parts.stores.putMany(entries);
  }

  drop(prefix: Prefix): boolean {
    return this.dropMany([prefix]) === 1;
  }

  /** What the kernel refuses to take out is a fault; the entry ends by its own clock all the same. */
  dropMany(prefixes: readonly Prefix[]): number {
    if (this.#closed) return 0;
    try {
      const dropped = this.#parts.stores.dropMany(prefixes);
      this.#dropRefusal = undefined;
      return dropped;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#dropRefusal = error.message;
      return 0;
    }
  }

  records(): Generator<readonly FenceRecord[], void, void> {
    const { stores, options } = this.#parts;
    return stores.records(options.nowMs);
  }

  record(prefix: Prefix): FenceRecord | undefined {
    return this.#parts.stores.record(prefix);
  }

  status(): FenceStatus {
    const { options, stores, filter } = this.#parts;
    const places = filter.places();
    const managedBy = filter.managedBy();
    const dropped = filter.dropped();
    const { name, capacity, evicts } = stores.main;
    const maps = stores.fill();
    return {
      fence: "xdp",
      capabilities: { counts: stores.counts, ranges: stores.holdsRanges, asks: managedBy === undefined },
      places,
      weakest: weakest(places),
      ports: options.guarded.scope === "host" ? "all" : options.guarded.ports,
      map: name,
      droppedPackets: dropped.packets,
      droppedBytes: dropped.bytes,
      entries: maps.reduce((sum, { entries }) => sum + entries, 0),
      capacity,
      maps,
      evicts,
      managedBy,
      proof: filter.proof(),
      faults: this.#faults(),
    };
  }

  #faults(): readonly string[] {
    const { filter } = this.#parts;
    const refused = this.#dropRefusal === undefined ? [] : [`Entries cannot be taken out: ${this.#dropRefusal}`];
    return [...filter.faults(), ...refused];
  }

  /** What the live program does with a packet from this address to the guarded port; undefined without one. */
  ask(source: Prefix): "drop" | "pass" | undefined {
    return this.#parts.filter.ask(source);
  }

  /** Paths of everything that ttgate has pinned: a user who takes over is to own them. */
  get pins(): readonly string[] {
    return this.#parts.filter.pins().map(writablePath);
  }

  /** Tries the live program out; `status` has the result. Done at the start and every minute anyway. */
  prove(nowMs: number): void {
    this.#parts.filter.prove(nowMs);
  }

  /** These ports are guarded from now on and no others. @throws Failure when they are too many, KernelError */
  guard(ports: readonly number[], scope: "port" | "host"): void {
    const { options, filter } = this.#parts;
    options.guarded.keep(ports);
    for (const port of ports) options.guarded.slotOf(port);
    options.guarded.scope = scope;
    filter.guard();
  }

  cover(places: readonly string[]): void {
    this.#parts.filter.cover(places);
  }

  tick(nowMs: number): void {
    const { options, filter, stores, judge } = this.#parts;
    filter.tick(nowMs);
    stores.tellRanges();
    if (judge?.restore() === true) options.log("warn", overwritten);
  }

  /**
   * Replaces maps that no ban can be written into any more, with the program updated in place.
   * @param gates those that are judged.
   * @returns true when it did: they are empty, and the caller fills them again.
   * @throws Failure when that cannot be done; what there is goes on.
   */
  renew(nowMs: number, gates: readonly InlineGate[]): boolean {
    const { filter, reopen } = this.#parts;
    const lost = filter.lostPins();
    if (lost.length === 0 || reopen === undefined) {
      this.#lostSinceMs = undefined;
      return false;
    }
    this.#lostSinceMs ??= nowMs;
    if (nowMs - this.#lostSinceMs < renewAfterMs) return false;
    filter.unpin(lost);
    this.#parts = {
      ...reopen(
        filter.places().map(({ name }) => name),
        gates,
      ),
      reopen,
    };
    filter.abandon();
    return true;
  }

  /** A process that was to take over did not. @throws KernelError */
  reclaim(nowMs: number): void {
    this.#parts.filter.reclaim(nowMs);
  }

  /**
   * Another process has maps and links now. Nothing in the kernel is touched from here on: what is put is taken to
   * stand there, since whoever hands over tells the other one of it.
   */
  handOver(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts.filter.abandon();
  }

  close(keep: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    using filter = this.#parts.filter;
    if (!filter.detach(keep, this.#parts.options.nowMs())) this.#parts.stores.removeOurs(this.#parts.options.nowMs());
  }
}
