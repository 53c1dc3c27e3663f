// SPDX-License-Identifier: Apache-2.0
// All lists of the configuration: they come and go with it, each by itself.
import { setImmediate } from "node:timers/promises";
import type { BlocklistOptions } from "../../config/blocklist.ts";
import type { BanChange, BanFollower } from "../../core/bans/change.ts";
import type { Origin } from "../../core/bans/claim.ts";
import { listed } from "./application.ts";
import { Blocklist, type BlocklistParts } from "./blocklist.ts";
import type { BlocklistView } from "./view.ts";

/** All of them may have to be lifted. */
const lookedAtAtOnce = 250;

export class Blocklists implements BanFollower {
  readonly #parts: BlocklistParts;
  #lists: readonly Blocklist[] = [];

  constructor(parts: BlocklistParts) {
    this.#parts = parts;
  }

  /** What an earlier run had banned by lists that are none any more ends; the others go on from what there is. */
  async open(options: readonly BlocklistOptions[]): Promise<void> {
    const { enforcement, nowMs, log } = this.#parts;
    const found = new Map<Origin, number>();
    const names = new Set<Origin>(options.map(({ name }) => `list:${name}` as const));
    let ended = 0;
    const all = enforcement.bans.all();
    for (let slice = [...all.take(lookedAtAtOnce)]; slice.length > 0; slice = [...all.take(lookedAtAtOnce)]) {
      for (const ban of slice) {
        for (const { origin, reason } of [ban, ...ban.others]) {
          if (reason !== listed || !origin.startsWith("list:")) continue;
          if (names.has(origin)) found.set(origin, (found.get(origin) ?? 0) + 1);
          else ended += enforcement.withdraw([ban.prefix], origin, nowMs());
        }
      }
      await setImmediate();
    }
    if (ended > 0) log("info", `Lifted ${ended} bans of lists that are not in the configuration any more`);
    this.#lists = options.map((one) => new Blocklist(one, found.get(`list:${one.name}`) ?? 0, this.#parts));
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const list of this.#lists) list.bansChanged(changes);
  }

  tick(nowMs: number): void {
    for (const list of this.#lists) list.tick(nowMs);
  }

  /** A reload: every list is looked at again, those that are gone lift what they banned. */
  async reconfigure(options: readonly BlocklistOptions[]): Promise<void> {
    const before = this.#lists;
    const stays = ({ name, source }: BlocklistOptions) =>
      before.find((list) => list.options.name === name && list.options.source === source);
    const gone = before.filter((list) => !options.some((one) => stays(one) === list));
    await Promise.all(gone.map((list) => list.close()));
    this.#lists = options.map((one) => {
      const list = stays(one) ?? new Blocklist(one, 0, this.#parts);
      list.reconfigure(one);
      return list;
    });
    for (const list of gone) {
      // Another source under the same name takes over what is banned.
      if (options.some(({ name }) => name === list.options.name)) continue;
      const lifted = await list.withdraw();
      this.#parts.log("info", `List "${list.options.name}" is gone from the configuration: lifted ${lifted} bans`);
    }
  }

  views(wallMs = Date.now()): readonly BlocklistView[] {
    return this.#lists.map((list) => list.view(wallMs));
  }

  /** One of them is being read or carried out. */
  get isBusy(): boolean {
    return this.#lists.some((list) => list.isBusy);
  }

  /** What is wrong with lists; none of it keeps the gate from its work. */
  notes(): readonly string[] {
    return this.#lists.flatMap(({ options: { name }, error }) =>
      error === undefined ? [] : [`List "${name}" is not up to date: ${error}`],
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#lists.map((list) => list.close()));
  }
}
