// SPDX-License-Identifier: Apache-2.0
// Messages of banks, hospitals and telephone companies, as data.
import type { Recogniser } from "../signature/signature.ts";

export const fix: Recogniser = {
  name: "fix",
  description: "FIX: the first field of every message, FIX 4.4 volume 1",
  // 40 bits.
  rules: [{ kind: "text", text: "8=FIX" }],
};

export const hl7: Recogniser = {
  name: "hl7",
  description: "HL7 version 2: a message in its frame (MLLP), or without",
  // 40 bits.
  rules: [{ kind: "text", text: ["\u000bMSH|", "\u000bFHS|", "\u000bBHS|", "MSH|^"] }],
};

export const dicom: Recogniser = {
  name: "dicom",
  description: "DICOM: a request for an association, DICOM PS3.8 section 9.3.2",
  rules: [
    {
      // Type 1, a length below 65,536, version 1; titles of 16 characters each. 32 + 32 + 23 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 00 00 00 00 00 00 01 00 00", mask: "ff ff ff ff 00 00 ff ff ff ff" },
        { kind: "run", at: 10, class: "printable", min: 16 },
      ],
    },
  ],
};

export const smpp: Recogniser = {
  name: "smpp",
  description: "SMPP: a bind request, SMPP 3.4 section 4.1",
  rules: [
    {
      // A length below 256, one of three commands, status 0, a sequence below 65,536: 24 + 30 + 32 + 16 bits. Then
      // a system's id, a password and a type, each with its end: 3 * 7.3 bits beyond any header.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 00" },
        { kind: "bytes", at: 4, hex: ["00 00 00 01", "00 00 00 02", "00 00 00 09"] },
        { kind: "bytes", at: 8, hex: "00 00 00 00 00 00" },
        { kind: "run", at: 16, class: "visible", min: 0, max: 15, until: "00" },
        { kind: "run", class: "visible", min: 0, max: 8, until: "00", after: true },
        { kind: "run", class: "visible", min: 0, max: 12, until: "00", after: true },
      ],
    },
  ],
};

export const skinny: Recogniser = {
  name: "skinny",
  description: "Cisco's Skinny client control: a telephone that registers",
  rules: [
    {
      // A length below 256, a version below 32, message 1; a name of letters and digits. 24 + 27 + 32 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", at: 1, hex: "00 00 00" },
        { kind: "bytes", at: 4, hex: "00 00 00 00 01 00 00 00", mask: "e0 ff ff ff ff ff ff ff" },
        { kind: "run", at: 12, class: "alnum", also: "5f", min: 8 },
      ],
    },
  ],
};

export const h323: Recogniser = {
  name: "h323",
  description: "H.323: a Q.931 set-up in a TPKT, H.225.0 section 7",
  rules: [
    {
      // TPKT version 3 below 2,048 bytes, Q.931, a call reference of two bytes, set-up, bearer capability. 16 + 5 + 40 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "03 00" },
        { kind: "bytes", at: 2, hex: "00", mask: "f8" },
        { kind: "bytes", at: 4, hex: "08 02" },
        { kind: "bytes", at: 8, hex: "05" },
        { kind: "bytes", at: 9, hex: ["04", "a1"] },
      ],
    },
  ],
};

export const z3950: Recogniser = {
  name: "z3950",
  description: "Z39.50, which libraries search by: an initialise request, ISO 23950 section 4.1",
  // Tag 20 and a length; protocol versions of two bytes with up to 7 unused bits; options. 8 + 16 + 5 + 8 bits.
  rules: [
    { kind: "bytes", hex: "b4 00 83 02 00 00 84", mask: "ff 80 ff ff f8 00 ff" },
    { kind: "bytes", hex: "b4 81 00 83 02 00 00 84", mask: "ff ff 00 ff ff f8 00 ff" },
    { kind: "bytes", hex: "b4 82 00 00 83 02 00 00 84", mask: "ff ff 00 00 ff ff f8 00 ff" },
  ],
};
