// SPDX-License-Identifier: Apache-2.0
// Protocols of one product each, known by the magic of 32 bits or more that they begin with, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const avast: Recogniser = {
  name: "avast",
  description: "Avast's updates: the magic and a version",
  // 48 bits.
  rules: [{ kind: "bytes", hex: "4e 4f 53 41 00 60" }],
};

export const alicloud: Recogniser = {
  name: "alicloud",
  description: "Alibaba Cloud's agent: the magic and a length below 65,536",
  // 48 bits.
  rules: [pattern("ce fa be ba .. .. 00 00")],
};

export const syncthing: Recogniser = {
  name: "syncthing",
  description: "Syncthing: the hello of the block exchange protocol, version 1",
  // 32 bits, and 8 of a length below 256.
  rules: [{ kind: "bytes", hex: "2e a7 d9 0b 00" }],
};

export const winbox: Recogniser = {
  name: "winbox",
  description: "MikroTik's Winbox: a message of the protocol M2",
  // A block of its own length, type 1; the magic and the first field: 16 + 48 bits.
  rules: [pattern("01 00 .. 4d 32 05 00 ff 01", 1)],
};

export const steam: Recogniser = {
  name: "steam",
  description: "Steam's connection managers: a length below 65,536 and the magic",
  // 16 + 32 bits.
  rules: [pattern("00 00 56 54 30 31", 2)],
};

export const sap: Recogniser = {
  name: "sap",
  description: "SAP: a ping of the network interface, and a dispatcher's first packet of Diag",
  // 96 bits, and 16 + 96.
  rules: [
    { kind: "bytes", hex: "00 00 00 08 4e 49 5f 50 49 4e 47 00" },
    pattern("00 00 .. .. ff ff ff ff 0a 00 00 00 00 00 ff ff"),
  ],
};
