// SPDX-License-Identifier: Apache-2.0
// The decisions that CrowdSec holds, by the source that they ban here. Two addresses of one IPv6 network are one
// source; of several decisions on one address the one that lasts longest counts, as CrowdSec's stream tells it. Pure.
import { ShardedMap } from "../sharded_map.ts";
import type { Decision } from "./decision.ts";

export interface Held {
  readonly id: number;
  readonly value: string;
  readonly reason: string;
  /** Milliseconds since boot. */
  readonly untilMs: number;
}

/** Each takes about 400 bytes. */
export const mostHeld = 500_000;
/** Beyond so many names a ban's reason is not kept apart: in memory, in metrics. */
const mostReasons = 200;

export class Holdings {
  readonly #bySource = new ShardedMap<readonly Held[]>();
  readonly #reasons = new Map<string, string>();

  /** Sources. */
  get size(): number {
    return this.#bySource.size;
  }

  of(source: string): readonly Held[] {
    return this.#bySource.get(source) ?? [];
  }

  sources(): Generator<string, void, void> {
    return this.#bySource.keys();
  }

  /** @returns false when there is no room. */
  add({ prefix, id, value, reason, leftMs }: Decision, nowMs: number): boolean {
    const before = this.of(prefix.text);
    const same = before.find((held) => held.value === value);
    const untilMs = nowMs + leftMs;
    if (same !== undefined && same.id !== id && same.untilMs >= untilMs) return true;
    if (before.length === 0 && this.size >= mostHeld) return false;
    const held: Held = { id, untilMs, reason: this.#kept(reason), value: value === prefix.text ? prefix.text : value };
    this.#bySource.set(prefix.text, [...before.filter((other) => other !== same), held]);
    return true;
  }

  remove(source: string, value: string): void {
    const left = this.of(source).filter((held) => held.value !== value);
    if (left.length === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
  }

  #kept(reason: string): string {
    const known = this.#reasons.get(reason);
    if (known !== undefined) return known;
    if (this.#reasons.size >= mostReasons) return "other";
    this.#reasons.set(reason, reason);
    return reason;
  }
}
