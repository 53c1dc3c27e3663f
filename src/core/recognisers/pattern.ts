// SPDX-License-Identifier: Apache-2.0
// Bytes of a fixed layout in one line: `pattern("05 64 .. c4")`, where `..` is a byte of any value and `c.`
// one of which only the first digit is known.
import type { BytesRule } from "../signature/signature.ts";

/** @param at the place of the first of them. */
export function pattern(text: string, at = 0): BytesRule {
  const hex = text.replaceAll(".", "0");
  const mask = text.replaceAll(/[^. ]/g, "f").replaceAll(".", "0");
  return { kind: "bytes", at, hex, mask };
}
