// SPDX-License-Identifier: Apache-2.0
// Building and plant controllers, and trackers of vehicles, beside those of industrial.ts, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const knx: Recogniser = {
  name: "knx",
  description: "KNXnet/IP over TCP: searches, descriptions, connections, ISO 22510 section 5",
  rules: [
    {
      // The header's length and version, a core service below 16, a length below 256, an address of 8 bytes: 16 + 12 + 8 + 15 bits.
      kind: "any",
      rules: [pattern("06 10 02 0. 00 .. 08 01"), pattern("06 10 02 0. 00 .. 08 02")],
    },
  ],
};

export const melsec: Recogniser = {
  name: "melsec",
  description: "Mitsubishi MELSEC: a request in 3E and 4E frames, SH-080008 section 3",
  // 56 bits and more, and 96 in ASCII.
  rules: [
    { kind: "bytes", hex: "50 00 00 ff ff 03 00" },
    pattern("54 00 .. .. 00 00 00 ff ff 03 00"),
    { kind: "text", text: "500000FF03FF00" },
  ],
};

export const codesys: Recogniser = {
  name: "codesys",
  description: "CODESYS: the block driver over TCP of version 3, and version 2's requests",
  // The magic in either order, a length below 65,536; for version 2 the magic, a request and small numbers: 48 and 56 bits.
  rules: [
    pattern("00 01 17 e8 .. .. 00 00"),
    pattern("e8 17 01 00 .. .. 00 00"),
    { kind: "bytes", hex: "bb bb 01 00 00 00 01" },
  ],
};

export const procon: Recogniser = {
  name: "procon",
  description: "ProConOS and PCWorx controllers: the first request",
  // 64 and 120 bits.
  rules: [
    { kind: "bytes", hex: "cc 01 00 0b 40 02 00 00" },
    {
      kind: "all",
      rules: [pattern("01 01 00 1a"), { kind: "text", at: 14, text: "IBETH01N0_M" }],
    },
  ],
};

export const fox: Recogniser = {
  name: "fox",
  description: "Niagara Fox: the greeting",
  // 48 bits.
  rules: [{ kind: "text", text: "fox a " }],
};

export const tracker: Recogniser = {
  name: "tracker",
  description: "Vehicle trackers: the log-in of GT06 and relatives, and of Teltonika's codec",
  rules: [
    // Start, length 13, log-in; stop: 32 + 16 bits.
    pattern("78 78 0d 01 .. .. .. .. .. .. .. .. .. .. .. .. 0d 0a"),
    {
      // 15 digits of an IMEI: 16 + 70 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 0f" },
        { kind: "run", at: 2, class: "digit", min: 15 },
      ],
    },
  ],
};
