// SPDX-License-Identifier: Apache-2.0
// Colour for people at a terminal. Whether there is one, and whether it may be coloured, the output knows.
import type { Output } from "./env.ts";

type Painted = Pick<Output, "isColoured">;

/** ECMA-48 8.3.117. */
function painted(output: Painted, code: number, text: string): string {
  return output.isColoured === true && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text;
}

export function bold(output: Painted, text: string): string {
  return painted(output, 1, text);
}

export function red(output: Painted, text: string): string {
  return painted(output, 31, text);
}

export function green(output: Painted, text: string): string {
  return painted(output, 32, text);
}

export function yellow(output: Painted, text: string): string {
  return painted(output, 33, text);
}
