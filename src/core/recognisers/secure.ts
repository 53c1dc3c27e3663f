// SPDX-License-Identifier: Apache-2.0
// Encrypted channels, as data: TLS and its ancestors, SSH.
import type { Recogniser, Rule } from "../signature.ts";

/** 16 03 00 to 16 03 04: TLS record type and version. 21.7 bits. */
const minorVersion: Rule = { kind: "number", at: 2, size: 1, max: 4 };

export const tls: Recogniser = {
  name: "tls",
  description: "TLS 1.0 to 1.3 and SSL 3.0 records, and the SSL 2.0 client hello",
  rules: [
    {
      // A ClientHello in its record: type, version, a length that can be, handshake type 1, a 24-bit
      // length below 65,536, the client's version 3.x. 16 + 5.7 + 1.8 + 8 + 8 + 8 bits. After a clear
      // header that reads 16 03 0x (790, little endian) 25 bits stay.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "16 03" },
        minorVersion,
        { kind: "number", at: 3, size: 2, endian: "big", min: 4, max: 18_432 },
        { kind: "bytes", at: 5, hex: "01 00" },
        { kind: "bytes", at: 9, hex: "03" },
      ],
    },
    {
      // An alert: always 2 bytes long, level 1 or 2. 16 + 5.7 + 16 + 7 bits.
      kind: "all",
      rules: [{ kind: "bytes", hex: "15 03" }, minorVersion, { kind: "bytes", at: 3, hex: ["00 02 01", "00 02 02"] }],
    },
    {
      // SSL 2.0 (draft-hickman-netscape-ssl-00) and the hello in its form that offers SSL 3 or TLS (RFC 5246
      // appendix E.2): two-byte length, type 1, version, cipher list, no session id or one of 16 bytes,
      // a challenge of 16 to 32 bytes. 8 + 15 or 13 + 4 + 15 + 12 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 0x8000 + 28, max: 0x8000 + 2048 },
        { kind: "bytes", at: 2, hex: ["01 00 02", "01 03 00", "01 03 01", "01 03 02", "01 03 03"] },
        { kind: "number", at: 5, size: 2, endian: "big", min: 3, max: 1536 },
        { kind: "bytes", at: 7, hex: ["00 00", "00 10"] },
        { kind: "number", at: 9, size: 2, endian: "big", min: 16, max: 32 },
      ],
    },
  ],
};

export const ssh: Recogniser = {
  name: "ssh",
  description: "The identification string of RFC 4253 section 4.2, which either side may send first",
  // 32 bits and a digit's 4.7.
  rules: [{ kind: "text", text: ["SSH-1", "SSH-2"] }],
};
