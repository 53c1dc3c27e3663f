// SPDX-License-Identifier: Apache-2.0
// Text made to stand out on a terminal, or left as it is. It is made one line first: a control character in it
// would drive the terminal.
import { oneLine } from "../../log.ts";

export interface Paint {
  bold(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  chosen(text: string): string;
}

function sgr(code: number): (text: string) => string {
  return (text) => `\x1b[${code}m${oneLine(text)}\x1b[0m`;
}

export const coloured: Paint = { bold: sgr(1), good: sgr(32), bad: sgr(31), chosen: sgr(7) };
export const plain: Paint = { bold: oneLine, good: oneLine, bad: oneLine, chosen: oneLine };

/** https://no-color.org: set and not empty. */
export function paintOf(variables: Readonly<Record<string, string | undefined>>): Paint {
  const isPlain = (variables["NO_COLOR"] ?? "") !== "" || variables["TERM"] === "dumb";
  return isPlain ? plain : coloured;
}
