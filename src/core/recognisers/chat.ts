// SPDX-License-Identifier: Apache-2.0
// Messengers of telephones, whose packets begin with a plain magic before the ciphertext, as data.
import type { Recogniser } from "../signature/signature.ts";

export const whatsapp: Recogniser = {
  name: "whatsapp",
  description: "WhatsApp: the edge-routing header, and the version header of the Noise pipes and before",
  rules: [
    // The edge's routing, a message with fields 1 and 2: 48 + 16 bits.
    { kind: "bytes", hex: "45 44 00 01 00 00 00 08 00 08", mask: "ff ff ff ff ff ff 00 ff 00 ff" },
    // 48 bits.
    { kind: "bytes", hex: "57 41 01 05 00 00" },
    {
      // Version 4 to 7, a dictionary up to 3, a length below 65,536, a client hello and its key of 32 bytes.
      // 16 + 6 + 6 + 8 + 8 bits.
      kind: "bytes",
      hex: "57 41 04 00 00 00 00 12",
      mask: "ff ff fc fc ff 00 00 ff",
    },
  ],
};

export const xiaomi: Recogniser = {
  name: "xiaomi",
  description: "Xiaomi's push service: a connection of version 5",
  // 48 bits.
  rules: [{ kind: "bytes", hex: "c2 fe 00 05 00 00" }],
};

export const gh0st: Recogniser = {
  name: "gh0st",
  description: "Gh0st and its many renamed relatives: a name of five letters, two sizes, zlib",
  rules: [
    {
      // 7 + 32 + 16 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "visible", min: 5 },
        { kind: "bytes", at: 7, hex: "00 00" },
        { kind: "bytes", at: 11, hex: "00 00 78 9c" },
      ],
    },
  ],
};
