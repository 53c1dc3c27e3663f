// SPDX-License-Identifier: Apache-2.0
// What is said of a fleet: names are a contract, tools read them.

/** In `GET /status`: what this gate knows without asking. */
export interface FleetView {
  readonly name: string;
  readonly gate: string;
  /** Of the engine, without a password. */
  readonly url: string;
  /** `joined`: the shared table is read and written. `apart`: it is not, and every ban stays as it is. */
  readonly state: "joined" | "joining" | "apart";
  /** What keeps it from its promise, a sentence each; empty when nothing does. */
  readonly troubles: readonly string[];
  /** Sources whose change is not announced yet. */
  readonly waiting: number;
  readonly announced: number;
  /** How long ago the engine last answered; null: never. */
  readonly answeredSecondsAgo: number | null;
  readonly peers: readonly FleetPeerView[];
}

export interface FleetPeerView {
  readonly gate: string;
  readonly trusted: boolean;
  /** Bans that are held here on its word. */
  readonly held: number;
  readonly taken: number;
  readonly lifted: number;
  /** What was not taken, by the limit that it met. */
  readonly refused: Readonly<Record<string, number>>;
}

/** In `GET /fleet`: what the engine says now. */
export interface FleetMemberView extends FleetPeerView {
  readonly self: boolean;
  /** Null: it never said a word. */
  readonly seenSecondsAgo: number | null;
  /** Age of the oldest change that it had not followed when it was last seen; 0: it had followed all. */
  readonly behindSeconds: number | null;
  /** Sources that the engine has a word of this gate on. */
  readonly records: number;
  /** Sources in its own table. */
  readonly bans: number | null;
  readonly version: string | null;
}

export interface FleetAnswer extends FleetView {
  /** Null: the engine does not answer. */
  readonly members: readonly FleetMemberView[] | null;
}
