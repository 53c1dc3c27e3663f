// SPDX-License-Identifier: Apache-2.0
// A value in a message: in quotes, and cut where it is longer than what it should have been. What somebody sends, or a
// file has, may be a line of megabytes. Pure.

/** The longest address, with a zone and a length, has 65 characters. */
const longestShown = 100;

export function quoted(text: string): string {
  return text.length > longestShown ? `"${text.slice(0, longestShown).toWellFormed()}…"` : `"${text}"`;
}
