// SPDX-License-Identifier: Apache-2.0
// Printers, as data. IPP is HTTP.
import type { Recogniser } from "../signature/signature.ts";

export const lpd: Recogniser = {
  name: "lpd",
  description: "LPD commands, RFC 1179 section 5",
  rules: [
    {
      // A command and the name of a usual queue: 5.7 + 24 bits and more.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 1, max: 5 },
        { kind: "text", at: 1, text: ["auto\n", "default\n", "lp\n", "lp0\n", "lp \n", "lpt1\n", "print\n", "raw\n"] },
      ],
    },
    {
      // Any other queue, and silence: at least 16 of a friend's bytes are random, 5.7 + 21 bits and more.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 1, max: 5 },
        // Veeder-Root's commands are a ^A, a letter and five digits.
        { kind: "run", at: 1, class: "visible", min: 1, max: 31, until: "0a 20" },
        { kind: "run", at: 1, class: "text", min: 2, max: 255, until: "end" },
      ],
    },
  ],
};

export const pjl: Recogniser = {
  name: "pjl",
  description: "JetDirect: a printer job language header, PJL reference chapter 2",
  // 40 and 72 bits.
  rules: [{ kind: "text", text: ["\u001b%-12345X", "@PJL "] }],
};
