// SPDX-License-Identifier: Apache-2.0
// The banned sources of which the fence dropped the most, found while its map is walked anyway: twenty are kept,
// whatever the size of the map.
import type { FenceRecord } from "./fence.ts";

export type Talker = Pick<FenceRecord, "prefix" | "packets" | "bytes" | "lastSeenMs">;

const kept = 20;

export class Talkers {
  #complete: readonly Talker[] = [];
  #round: Talker[] = [];

  /** The most packets first, as of the last whole round. */
  get most(): readonly Talker[] {
    return this.#complete;
  }

  /** Who dropped no more than this is none of them. */
  get least(): number {
    return this.#round.length < kept ? 0 : (this.#round.at(-1)?.packets ?? 0);
  }

  /** The walk begins anew. */
  begin(): void {
    this.#round = [];
  }

  see(records: readonly FenceRecord[]): void {
    for (const { prefix, packets, bytes, lastSeenMs } of records) {
      if (packets <= this.least) continue;
      const rank = this.#round.findIndex((other) => other.packets < packets);
      this.#round.splice(rank < 0 ? this.#round.length : rank, 0, { prefix, packets, bytes, lastSeenMs });
      if (this.#round.length > kept) this.#round.pop();
    }
  }

  /** The walk came to its end. */
  roundOver(): void {
    this.#complete = this.#round;
  }
}
