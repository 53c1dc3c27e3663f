// SPDX-License-Identifier: Apache-2.0
// Routers and switches talking to each other, as data.
import type { Recogniser } from "../signature/signature.ts";

export const bgp: Recogniser = {
  name: "bgp",
  description: "BGP: an open message, RFC 4271 sections 4.1 and 4.2",
  rules: [
    {
      // The marker, a length, a type of 1 to 5: 128 + 4 + 5 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff" },
        { kind: "number", at: 16, size: 2, endian: "big", min: 19, max: 4096 },
        { kind: "number", at: 18, size: 1, min: 1, max: 5 },
      ],
    },
  ],
};

export const ldp: Recogniser = {
  name: "ldp",
  description: "LDP: an initialisation, RFC 5036 sections 3.1 and 3.5.3",
  rules: [
    {
      // Version 1, the platform's label space, message 0x200, its first parameter 0x500. 16 + 16 + 16 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 01" },
        { kind: "bytes", at: 8, hex: "00 00 02 00" },
        { kind: "bytes", at: 18, hex: "05 00" },
      ],
    },
  ],
};

export const openflow: Recogniser = {
  name: "openflow",
  description: "OpenFlow: a hello, OpenFlow switch specification section 7.5.1",
  rules: [
    {
      // Version 1 to 6, type 0, 16 bytes, a bitmap of versions, and silence: no friend's packet, whose 16
      // bytes would come after a header. 5 + 24 + 32 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 1, max: 6 },
        { kind: "bytes", at: 1, hex: "00 00 10" },
        { kind: "bytes", at: 8, hex: "00 01 00 08" },
        { kind: "length", max: 16 },
      ],
    },
    {
      // Without one: 8 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 1, max: 6 },
        { kind: "bytes", at: 1, hex: "00 00 08" },
        { kind: "length", min: 8, max: 8 },
      ],
    },
  ],
};

export const pptp: Recogniser = {
  name: "pptp",
  description: "PPTP: a request to start the control connection, RFC 2637 section 2.1",
  // Length, type and the magic cookie: 64 bits.
  rules: [{ kind: "bytes", hex: "00 9c 00 01 1a 2b 3c 4d" }],
};
