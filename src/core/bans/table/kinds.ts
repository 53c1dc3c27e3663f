// SPDX-License-Identifier: Apache-2.0
// What very many claims have in common, once for all of them: who asked, why, and where. A number stands for it
// as long as one of them is there.
import type { Claim } from "../claim.ts";

export type Kind = Pick<Claim, "origin" | "reason" | "gate" | "isLocal">;

export class Kinds {
  readonly #numbers = new Map<string, number>();
  readonly #kinds: Kind[] = [];
  readonly #users: number[] = [];
  readonly #unused: number[] = [];
  /** The one asked for last: nearly always the next one, too. */
  #last = 0;

  get(number: number): Kind {
    return this.#kinds[number] as Kind;
  }

  take(kind: Kind): number {
    const number = this.#isLast(kind) ? this.#last : this.#numberOf(kind);
    this.#users[number] = (this.#users[number] ?? 0) + 1;
    this.#last = number;
    return number;
  }

  #isLast({ origin, reason, gate, isLocal }: Kind): boolean {
    const last = this.#kinds[this.#last];
    if (last === undefined || (this.#users[this.#last] ?? 0) === 0) return false;
    return last.origin === origin && last.reason === reason && last.gate === gate && last.isLocal === isLocal;
  }

  #numberOf({ origin, reason, gate, isLocal }: Kind): number {
    const key = keyOf({ origin, reason, gate, isLocal });
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#unused.pop() ?? this.#kinds.length;
      this.#numbers.set(key, number);
      this.#kinds[number] = { origin, reason, gate, isLocal };
      this.#users[number] = 0;
    }
    return number;
  }

  release(number: number): void {
    const users = (this.#users[number] ?? 0) - 1;
    this.#users[number] = users;
    if (users > 0) return;
    this.#numbers.delete(keyOf(this.get(number)));
    this.#unused.push(number);
  }
}

function keyOf({ origin, reason, gate, isLocal }: Kind): string {
  return `${origin}\n${reason}\n${gate ?? ""}\n${isLocal ?? ""}`;
}
