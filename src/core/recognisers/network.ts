// SPDX-License-Identifier: Apache-2.0
// What networks, vehicles and peers say to each other, beside routing.ts and peer.ts, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const pcep: Recogniser = {
  name: "pcep",
  description: "PCEP: an open message, RFC 5440 section 6.2",
  // Version 1, open, a length below 256; the object and its version: 24 + 24 + 8 bits.
  rules: [pattern("20 01 00 .. 01 10 00 .. 20")],
};

export const tacacs: Recogniser = {
  name: "tacacs",
  description: "TACACS+: the first packet of a session, RFC 8907 section 4.1",
  rules: [
    {
      // Version 12.0 or 12.1, a type, sequence 1, flags; a session that is no small number, a length below 65,536:
      // 7 + 6 + 8 + 5 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "c0 00 01 00", mask: "fe 00 ff fa" },
        { kind: "number", at: 1, size: 1, min: 1, max: 3 },
        { kind: "not", rule: { kind: "bytes", at: 4, hex: "00 00 00" } },
        { kind: "not", rule: { kind: "bytes", at: 5, hex: "00 00 00" } },
        pattern("00 00", 8),
      ],
    },
  ],
};

export const snmp: Recogniser = {
  name: "snmp",
  description: "SNMP over TCP, RFC 3430: versions 1, 2c and 3",
  rules: [
    {
      // A sequence with any form of its length, the version, a community of letters or the header of version 3.
      // 8 + 1 + 23 + 8 bits and 6 of the community, or 16 for the header.
      kind: "any",
      rules: ["30 ..", "30 81 ..", "30 82 .. .."].flatMap((head) => [
        {
          kind: "all" as const,
          rules: [
            { kind: "any" as const, rules: [pattern(`${head} 02 01 00 04`), pattern(`${head} 02 01 01 04`)] },
            { kind: "number" as const, at: (head.length + 1) / 3 + 4, size: 1, min: 4, max: 64 },
            { kind: "run" as const, at: (head.length + 1) / 3 + 5, class: "visible" as const, min: 4 },
          ],
        },
        pattern(`${head} 02 01 03 30 .. 02`),
      ]),
    },
  ],
};

export const doip: Recogniser = {
  name: "doip",
  description: "Diagnostics of vehicles over IP, ISO 13400-2 section 7",
  rules: [
    {
      // Version and its inverse, a type below 16, a length below 256, and silence: 16 + 12 + 24 bits, no friend's packet.
      kind: "all",
      rules: [
        {
          kind: "any",
          rules: [pattern("01 fe 00 0. 00 00 00"), pattern("02 fd 00 0. 00 00 00"), pattern("03 fc 00 0. 00 00 00")],
        },
        { kind: "length", max: 43 },
      ],
    },
  ],
};

export const levin: Recogniser = {
  name: "levin",
  description: "Monero's peers: the signature of Levin",
  // 64 bits.
  rules: [{ kind: "bytes", hex: "01 21 01 01 01 01 01 01" }],
};

export const multistream: Recogniser = {
  name: "multistream",
  description: "IPFS and libp2p: multistream-select",
  // 136 bits.
  rules: [{ kind: "text", text: "\u0013/multistream" }],
};

export const telegram: Recogniser = {
  name: "telegram",
  description: "Telegram, not obfuscated: intermediate transports, MTProto transports",
  // The tag and a length below 65,536: 48 bits.
  rules: [pattern("ee ee ee ee .. .. 00 00"), pattern("dd dd dd dd .. .. 00 00")],
};

export const slp: Recogniser = {
  name: "slp",
  description: "SLP: a message of version 2 in English, RFC 2608 section 8",
  rules: [
    {
      // The version, a function, a length below 65,536, no extension, the language: 8 + 4 + 8 + 24 + 32 bits.
      kind: "all",
      rules: [
        pattern("02 .. 00 .. .. .. 00 00 00 00 .. .. 00 02 65 6e"),
        { kind: "number", at: 1, size: 1, min: 1, max: 11 },
      ],
    },
  ],
};
