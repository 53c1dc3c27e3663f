// SPDX-License-Identifier: Apache-2.0
// Keeps the time-out table in step with a kernel map that others write too: entries that stand there
// from before or that another tool wrote are taken up, those that another tool took out are lifted.
import { setImmediate } from "node:timers/promises";
import type { Ban } from "../core/bans/bans.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { Fence, FenceRecord } from "../core/bans/fence.ts";
import type { Log } from "../log.ts";

/** A look-up is a system call of half a microsecond. */
const checkedAtOnce = 500;

export class MapWatch {
  readonly #fence: Fence;
  readonly #enforcement: Enforcement;
  readonly #log: Log;
  readonly #nowMs: () => number;
  #walk: Generator<readonly FenceRecord[], void, void> | undefined;
  #check: Iterator<Ban> | undefined;
  /** Entries that were told of already: foreign ones, and those of addresses that are never banned. */
  readonly #told = new Set<string>();

  constructor(fence: Fence, enforcement: Enforcement, log: Log, nowMs: () => number) {
    this.#fence = fence;
    this.#enforcement = enforcement;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** At start: everything, a slice at a time. */
  async adoptAll(): Promise<void> {
    let adopted = 0;
    for (const slice of this.#fence.records()) {
      for (const record of slice) if (this.#adopt(record)) adopted++;
      if (slice.length > 1000) await setImmediate();
    }
    if (adopted > 0) this.#log("info", `Took up ${adopted} bans from the map, with the time that they have left`);
  }

  /** One slice further on either side; begins again at the end. */
  step(): void {
    this.#takeUp();
    this.#letGo();
  }

  #takeUp(): void {
    this.#walk ??= this.#fence.records();
    const slice = this.#walk.next();
    if (slice.done === true) {
      this.#walk = undefined;
      return;
    }
    const taken = slice.value.filter((record) => this.#adopt(record)).map(({ prefix }) => prefix.text);
    this.#tell("Took up", taken, "another tool wrote into the map");
  }

  #letGo(): void {
    const gone: string[] = [];
    this.#checkSome(gone);
    this.#tell("Lifted", gone, "another tool took out of the map");
  }

  #tell(verb: string, sources: readonly string[], why: string): void {
    if (sources.length === 0) return;
    const what =
      sources.length === 1 ? `the ban of ${sources[0]}` : `${sources.length} bans, of ${sources[0]} and others,`;
    this.#log("info", `${verb} ${what} that ${why}`, { sources: sources.slice(0, 100) });
  }

  #checkSome(gone: string[]): void {
    this.#check ??= this.#enforcement.bans.all();
    for (let count = 0; count < checkedAtOnce; count++) {
      const { done, value: ban } = this.#check.next();
      if (done === true) {
        this.#check = undefined;
        return;
      }
      if (!this.#enforcement.vanished(ban, this.#nowMs())) continue;
      if (this.#fence.status().evicts) this.#enforcement.renew(ban, this.#nowMs());
      else {
        this.#enforcement.letGo(ban, this.#nowMs());
        gone.push(ban.prefix.text);
      }
    }
  }

  /** True when the entry is new to the table. */
  #adopt(record: FenceRecord): boolean {
    const { prefix, foreign, expiresMs } = record;
    if (this.#enforcement.foldOf(prefix)?.text === prefix.text) return false;
    const known: Ban | undefined = this.#enforcement.bans.get(prefix);
    if (known !== undefined && Math.abs(known.expiresMs - expiresMs) < 1000) return false;
    if (known?.expiresMs === expiresMs || expiresMs <= this.#nowMs()) return false;
    const result = this.#enforcement.adopt(record, this.#nowMs());
    if (result.kind === "banned") return true;
    if (!this.#told.has(prefix.text) && !foreign) {
      this.#told.add(prefix.text);
      const { conflict } = result;
      const remedy = `take it out, it blocks ${conflict.prefix.text} (${conflict.why})`;
      this.#log("warn", `The map holds ${prefix.text}, which is never banned: ${remedy}`);
    }
    return false;
  }
}
