// SPDX-License-Identifier: Apache-2.0
// What a gate tells a trial of its connections.

export interface TrialWatch {
  /** The connection would have been closed, undecided. Who would have been banned is told by the table. */
  wouldClose(source: string): void;
  /** The profile expects the connection, and the server took it. */
  isWelcome(source: string): void;
  /** The server answered, and both carried on for long. */
  isGood(source: string): void;
}
