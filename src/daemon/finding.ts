// SPDX-License-Identifier: Apache-2.0
// One thing that `ttgate doctor` looked at.

export interface Finding {
  readonly name: string;
  readonly state: "good" | "warning" | "bad";
  readonly found: string;
  /** What to type; null when nothing is missing. */
  readonly remedy: string | null;
}
