// SPDX-License-Identifier: Apache-2.0
// Entries of a fence's map that stood for addresses which are never banned: another tool wrote them, or an earlier run
// before the address was protected. They are taken out, but not by an inline dry run. Some are told by name, the others
// by their number; whoever fills the map with them fills neither the log nor the memory.
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import type { Log } from "../log.ts";

/** As many as somebody would take out by hand. */
const namedLimit = 20;

export class SparedEntries {
  readonly #log: Log;
  readonly #isRemoved: boolean;
  /** Named in the last round through the map, and in this one: what was taken out meanwhile is forgotten. */
  #before: ReadonlySet<string> = new Set();
  #named = new Set<string>();
  #others = 0;
  #othersBefore = 0;

  /** @param isRemoved whether they are taken out of the map. */
  constructor(log: Log, isRemoved: boolean) {
    this.#log = log;
    this.#isRemoved = isRemoved;
  }

  /** The walk through the map begins anew. */
  begin(): void {
    this.#before = this.#named;
    this.#named = new Set();
    this.#othersBefore = this.#others;
    this.#others = 0;
  }

  see(source: string, { prefix, why }: NeverBanEntry): void {
    if (this.#named.has(source)) return;
    if (this.#named.size >= namedLimit) {
      this.#others++;
      return;
    }
    this.#named.add(source);
    if (this.#before.has(source)) return;
    this.#log(
      "warn",
      this.#isRemoved
        ? `Removed from the map: ${source}, which blocked ${prefix.text} (${why}) and is never banned${aroundIt(source)}`
        : `The map holds ${source}, which covers ${prefix.text} (${why}) and is never banned: a dry run takes nothing out`,
    );
  }

  /** The walk came to its end. */
  roundOver(): void {
    if (this.#others === 0 || this.#othersBefore > 0) return;
    const more = `${this.#others} more entries than those that were named`;
    this.#log(
      "warn",
      this.#isRemoved ? `Removed from the map: ${more}, for the same` : `The map holds ${more}, for the same`,
    );
  }
}

/** Of a range nobody is blocked now. */
function aroundIt(source: string): string {
  return source.includes("/") ? "; nobody else of it is blocked either: write smaller ranges around that address" : "";
}
