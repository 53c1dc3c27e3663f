// SPDX-License-Identifier: Apache-2.0
// Cameras, recorders and things of the house, as data.
import type { Recogniser } from "../signature/signature.ts";

export const dahua: Recogniser = {
  name: "dahua",
  description: "Dahua cameras and recorders: DHIP, and the binary login before it",
  // 64 bits, and 30 with 32 zeros.
  rules: [
    { kind: "bytes", hex: "20 00 00 00 44 48 49 50" },
    { kind: "bytes", hex: "a0 00 00 60 00 00 00 00", mask: "ff f8 ff ff ff ff ff ff" },
  ],
};

export const xiongmai: Recogniser = {
  name: "xiongmai",
  description: "Xiongmai recorders (DVRIP, Sofia): a login, message 1000",
  // Head, version 0 or 1; no session; the message. 31 + 32 + 16 bits.
  rules: [
    {
      kind: "bytes",
      hex: "ff 00 00 00 00 00 00 00 00 00 00 00 00 00 e8 03",
      mask: "ff fe ff ff ff ff ff ff 00 00 00 00 00 00 ff ff",
    },
  ],
};

export const reolink: Recogniser = {
  name: "reolink",
  description: "Reolink cameras: a login of the Baichuan protocol",
  // Magic and message 1: 64 bits.
  rules: [{ kind: "bytes", hex: ["f0 de bc 0a 01 00 00 00", "0a bc de f0 00 00 00 01"] }],
};

export const hikvision: Recogniser = {
  name: "hikvision",
  description: "Hikvision cameras: a command of the SDK's port",
  // A length below 256, the command set 63, a check sum or none; a log-in. 24 + 32 + 32 bits.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 00" },
        { kind: "bytes", at: 4, hex: "63 00 00 00" },
        { kind: "bytes", at: 12, hex: "00 01 00 00" },
      ],
    },
  ],
};

export const tuya: Recogniser = {
  name: "tuya",
  description: "Tuya's devices: a frame of version 3.1 to 3.5",
  // The prefix alone could be a number of somebody else: with what is zero behind it 16 + 16 + 24 and more bits.
  rules: [
    {
      // A sequence below 65,536, a command below 256, a length below 65,536.
      kind: "bytes",
      hex: "00 00 55 aa 00 00 00 00 00 00 00 00 00 00",
      mask: "ff ff ff ff ff ff 00 00 ff ff ff 00 ff ff",
    },
    {
      // Reserved, any sequence, a command below 256.
      kind: "bytes",
      hex: "00 00 66 99 00 00 00 00 00 00 00 00 00",
      mask: "ff ff ff ff ff ff 00 00 00 00 ff ff ff",
    },
  ],
};

export const kasa: Recogniser = {
  name: "kasa",
  description: "TP-Link's smart home: a command in JSON, each byte XOR the one before, from ab on",
  // A length below 256 and {"sy, {"sm, {"em, {"ti, {"ne: 24 + 30 bits.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 00" },
        {
          kind: "bytes",
          at: 4,
          hex: ["d0 f2 81 f8", "d0 f2 81 ec", "d0 f2 97 fa", "d0 f2 86 ef", "d0 f2 9c f9"],
        },
      ],
    },
  ],
};

export const chromecast: Recogniser = {
  name: "chromecast",
  description: "Google Cast: a message of protocol version 0 from a sender",
  // A length below 65,536; version, source and its length. 16 + 24 + 32 bits.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "08 00 12" },
        { kind: "text", at: 8, text: ["send", "clie"] },
      ],
    },
  ],
};
