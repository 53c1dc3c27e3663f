// SPDX-License-Identifier: Apache-2.0
// Whether a client and the server carry on with each other, by who speaks when. A server that tells a stranger
// what is wrong does so once; who goes on and on is a good client, whatever a profile says. Pure.

/** So many answers, each to something new, are a conversation. */
const enoughTurns = 5;
/** Fewer are one when they go on for so long. */
const fewTurns = 2;
const longMs = 5000;

export class Turns {
  #turns = 0;
  #startedMs: number | undefined;
  #isClientsTurn = true;

  clientSpoke(): void {
    this.#isClientsTurn = false;
  }

  /** @returns true when both have carried on for long. */
  serverSpoke(nowMs: number): boolean {
    if (this.#isClientsTurn) return false;
    this.#isClientsTurn = true;
    this.#turns++;
    this.#startedMs ??= nowMs;
    return this.#turns >= enoughTurns || (this.#turns >= fewTurns && nowMs - this.#startedMs >= longMs);
  }
}
