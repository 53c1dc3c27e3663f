// SPDX-License-Identifier: Apache-2.0
// Gates of a fleet without an engine: each has a table of its own and a clock of its own, and between them lies
// what the script keeps, in a few lines.
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { claimsOf, type Origin } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { FleetTable, type FleetTableOptions } from "../../../src/core/fleet/fleet_table.ts";
import { type FleetRecord, formatRecord, parseRecord } from "../../../src/core/fleet/record.ts";
import { lifted } from "../../harness/lifted.ts";

/** What the engine holds: a record for each gate and source. */
export class Memory {
  nowMs = 1_800_000_000_000;
  /** By how much its clock was set. */
  setByMs = 0;
  records = new Map<string, Map<string, string>>();

  of(gate: string): Map<string, string> {
    const records = this.records.get(gate) ?? new Map<string, string>();
    this.records.set(gate, records);
    return records;
  }
}

export interface Limits extends Partial<Pick<FleetTableOptions, "trusts" | "rate" | "most" | "room">> {
  readonly neverBan?: readonly string[];
  readonly capacity?: number;
}

export class Member {
  readonly name: string;
  readonly enforcement: Enforcement;
  readonly table: FleetTable;
  readonly #memory: Memory;
  /** What its own clock, since its own boot, is behind the engine's. */
  readonly #bootMs: number;

  constructor(name: string, memory: Memory, bootAgoMs = 1_000_000, limits: Limits = {}) {
    this.name = name;
    this.#memory = memory;
    this.#bootMs = memory.nowMs - bootAgoMs;
    const neverBan = (limits.neverBan ?? []).map((text) => ({ prefix: requirePrefix(text), why: "--allow" }));
    const bans = new Bans(limits.capacity ?? 10_000, 64);
    this.enforcement = new Enforcement(bans, new NeverBan(neverBan), undefined, newBanCounters());
    this.table = new FleetTable({
      ...{ enforcement: this.enforcement, gate: name, trusts: () => true },
      ...{ rate: () => 1_000_000, most: () => 1_000_000, room: () => 1_000_000, ...limits },
    });
    this.askTime();
    this.enforcement.follow(this.table);
  }

  get nowMs(): number {
    return this.#memory.nowMs - this.#bootMs;
  }

  /** Asks the engine for its time. */
  askTime(): number {
    return this.table.setClock(this.#bootMs + this.#memory.setByMs);
  }

  ban(source: string, forMs: number, origin: Origin = "sniffer"): void {
    const untilMs = this.nowMs + forMs;
    this.enforcement.ban({ prefix: requirePrefix(source), reason: "http", origin, untilMs }, this.nowMs);
  }

  lift(source: string, origin?: Origin): void {
    lifted(this.enforcement, [requirePrefix(source)], this.nowMs, origin);
  }

  /** As the script writes it. */
  announce(): void {
    for (let sources = this.table.own.take(100); sources.length > 0; sources = this.table.own.take(100)) {
      for (const source of sources) {
        const announced = this.table.announcement(source, this.nowMs);
        if (announced === undefined) continue;
        const { leftMs, agoMs, liftedAgoMs, reason } = announced;
        const now = this.#memory.nowMs + this.#memory.setByMs;
        const madeMs = Math.round(Math.max(1, now - agoMs));
        const record: FleetRecord = {
          ...{ madeMs, reason, evidence: undefined },
          untilMs: leftMs === 0 ? madeMs : now + leftMs,
          liftedMs: liftedAgoMs === undefined ? 0 : Math.round(now - liftedAgoMs),
        };
        this.#memory.of(this.name).set(source, formatRecord(record));
      }
    }
  }

  /** One source of another gate, as it stands now. */
  look(gate: string, source: string): void {
    this.table.apply(gate, [[source, this.#memory.of(gate).get(source) ?? null]], this.nowMs);
  }

  /** Everything of everybody, then what the engine lacks. */
  reconcile(): void {
    for (const [gate, records] of this.#memory.records) {
      if (gate !== this.name) this.table.apply(gate, records, this.nowMs, true);
    }
    const published = new Map<string, FleetRecord>();
    this.table.adopt(this.#memory.of(this.name), this.nowMs, published);
    this.announceMissing(published);
  }

  /** @param published what the engine has; without it everything is announced. */
  announceMissing(published: ReadonlyMap<string, FleetRecord> = new Map()): void {
    for (const different of this.table.compare(published, () => this.nowMs)) {
      for (const source of different) this.table.own.mark(source);
    }
    this.announce();
  }

  /** By source the end of its ban, by the engine's clock. */
  banned(): Record<string, number> {
    const running = [...this.enforcement.bans.all()].filter(({ untilMs }) => untilMs > this.nowMs);
    return Object.fromEntries(running.map(({ prefix, untilMs }) => [prefix.text, untilMs + this.#bootMs]));
  }

  origins(source: string): string[] {
    const ban = this.enforcement.bans.byText(source);
    return ban === undefined ? [] : claimsOf(ban, this.nowMs).map(({ origin }) => origin);
  }
}

export function recordAt(memory: Memory, gate: string, source: string): FleetRecord | undefined {
  return parseRecord(memory.of(gate).get(source) ?? "");
}
