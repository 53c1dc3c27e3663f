// SPDX-License-Identifier: Apache-2.0
// What a session tells of its connection's first bytes to whoever records or judges them.
import type { Client } from "../core/client.ts";
import type { Tap } from "./tap.ts";

export interface SessionObserver {
  /**
   * A connection is going to be relayed. @returns the tap on its beginning.
   * @param isExpected false for what only a dry run relays.
   * @param speaksExpected it speaks what is expected; a dry run may relay it although its source would be banned.
   */
  relays(client: Client, isExpected: boolean, speaksExpected: boolean): Tap | undefined;
  /**
   * One is not relayed.
   * @param bytes the first that the client sent; `totalBytes`: how many it sent until then.
   * @param isSilent the client had all the time it may take, or sent FIN, and it is undecided still.
   */
  turnedAway(client: Client, bytes: Uint8Array, totalBytes: number, isStrike: boolean): void;
}
