// SPDX-License-Identifier: Apache-2.0
// What a line of a list says, in whatever form it is written.

/** `forMs`: how long; Infinity without an end; undefined when the line does not say. */
export interface ListEntry {
  /** ADDR or CIDR as it stands there: who carries it out says whether it is one. */
  readonly source: string;
  readonly forMs: number | undefined;
}

/** `message`: why a line cannot be carried out. Neither: it asks for nothing, such as a comment. */
export type LineReading =
  | { readonly kind: "entries"; readonly entries: readonly ListEntry[] }
  | { readonly kind: "mistake"; readonly message: string };

export const nothing: LineReading = { kind: "entries", entries: [] };

export function entry(source: string, forMs?: number): LineReading {
  return { kind: "entries", entries: [{ source, forMs }] };
}

export function mistake(message: string): LineReading {
  return { kind: "mistake", message };
}
