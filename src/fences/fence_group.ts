// SPDX-License-Identifier: Apache-2.0
// Several fences as one. Each gets every ban; the first is the one whose room is managed and whose entries
// are read back. A place is as well guarded as the best of them guards it.
import type { Prefix } from "../core/address.ts";
import type { Fence, FenceEntry, FenceOutcome, FencePlace, FenceRecord, FenceStatus } from "../core/bans/fence.ts";

/** @returns the fence itself where there is one only. */
export function joined([first, ...others]: readonly [Fence, ...Fence[]]): Fence {
  return others.length === 0 ? first : new FenceGroup(first, others);
}

class FenceGroup implements Fence {
  readonly #first: Fence;
  readonly #others: readonly Fence[];

  constructor(first: Fence, others: readonly Fence[]) {
    this.#first = first;
    this.#others = others;
  }

  mapOf(prefix: Prefix): string {
    return this.#first.mapOf(prefix);
  }

  /** @returns what the first did; what another could not do is among its faults. */
  put(entry: FenceEntry): FenceOutcome {
    for (const other of this.#others) other.put(entry);
    return this.#first.put(entry);
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    for (const other of this.#others) other.putMany(entries);
    return this.#first.putMany(entries);
  }

  drop(prefix: Prefix): boolean {
    for (const other of this.#others) other.drop(prefix);
    return this.#first.drop(prefix);
  }

  dropMany(prefixes: readonly Prefix[]): number {
    for (const other of this.#others) other.dropMany(prefixes);
    return this.#first.dropMany(prefixes);
  }

  records(): Generator<readonly FenceRecord[], void, void> {
    return this.#first.records();
  }

  record(prefix: Prefix): FenceRecord | undefined {
    return this.#first.record(prefix);
  }

  status(): FenceStatus {
    const first = this.#first.status();
    const others = this.#others.map((other) => other.status());
    const all = [first, ...others];
    const places = bestPlaces(all.flatMap((status) => status.places));
    return {
      ...first,
      fence: all.map(({ fence }) => fence).join("+"),
      places,
      weakest: places.find(({ attach }) => attach === "none") ?? first.weakest,
      droppedPackets: all.reduce((sum, { droppedPackets }) => sum + droppedPackets, 0),
      droppedBytes: all.reduce((sum, { droppedBytes }) => sum + droppedBytes, 0),
      faults: all.flatMap(({ faults }) => faults),
    };
  }

  ask(address: Prefix): "drop" | "pass" | undefined {
    const answers = [this.#first, ...this.#others].map((fence) => fence.ask(address));
    return answers.includes("drop") ? "drop" : answers.find((answer) => answer !== undefined);
  }

  cover(places: readonly string[]): void {
    for (const fence of [this.#first, ...this.#others]) fence.cover(places);
  }

  tick(nowMs: number): void {
    for (const fence of [this.#first, ...this.#others]) fence.tick(nowMs);
  }

  close(keep: boolean): void {
    for (const other of this.#others) other.close(keep);
    this.#first.close(keep);
  }
}

/** One for each name: the first that holds there. */
function bestPlaces(places: readonly FencePlace[]): readonly FencePlace[] {
  const byName = new Map<string, FencePlace>();
  for (const place of places) {
    const before = byName.get(place.name);
    if (before === undefined || before.attach === "none") byName.set(place.name, place);
  }
  return [...byName.values()];
}
