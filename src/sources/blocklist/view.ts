// SPDX-License-Identifier: Apache-2.0
// What is told of a list: in the status, the metrics and by `ttgate status`. Names are a contract.

export interface BlocklistView {
  readonly name: string;
  readonly source: string;
  /** Of the version that holds. */
  readonly entries: number;
  /** Lines of it that were not taken: no address, too wide. */
  readonly refused: number;
  /** Entries that stand against the never-ban list. */
  readonly neverBanned: number;
  /** Entries that are not banned for want of room in the table or the kernel's map. */
  readonly noRoom: number;
  /** Entries that an operator lifted: left alone until they have left the list. */
  readonly lifted: number;
  /** RFC 3339: when it was last read, or found to be the same; null: never. */
  readonly readAt: string | null;
  /** Since then; null: never. */
  readonly ageSeconds: number | null;
  /** RFC 3339: when it last became another, by its server's word or as it was seen here; null: not known. */
  readonly changedAt: string | null;
  /** Since then; null: not known. */
  readonly unchangedSeconds: number | null;
  /** Why it could not be taken the last time; what was taken before holds. */
  readonly error: string | null;
}
