// SPDX-License-Identifier: Apache-2.0
// Names of protocols and the numbers that stand for them in kernel entries. A number is read back as
// the name that gave it, if this process knows that name.
import { reasonHash } from "../../../core/bans/reason.ts";

/** Stands for a reason that the entry does not tell, or tells by a number that no known name gives. */
export const unknownReason = "unknown";

/** Names come from profiles; what a caller makes up is not kept for ever. */
const nameLimit = 4096;

export class Reasons {
  readonly #hashes = new Map<string, number>();
  readonly #names = new Map<number, string>();

  constructor(names: Iterable<string>) {
    for (const name of names) this.hash(name);
  }

  hash(name: string): number {
    const known = this.#hashes.get(name);
    if (known !== undefined) return known;
    const hash = reasonHash(name);
    if (this.#hashes.size < nameLimit && name !== unknownReason) {
      this.#hashes.set(name, hash);
      this.#names.set(hash, name);
    }
    return name === unknownReason ? 0 : hash;
  }

  name(hash: number): string {
    return this.#names.get(hash) ?? unknownReason;
  }
}
