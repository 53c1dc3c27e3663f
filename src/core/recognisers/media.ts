// SPDX-License-Identifier: Apache-2.0
// Voice and video beside what web.ts and message.ts have, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const rtmp: Recogniser = {
  name: "rtmp",
  description: "RTMP: a handshake with a client's version (with none there is nothing to tell it by)",
  // Version 3, a time, and the version of Flash that libraries pretend to: 8 + 30 bits.
  rules: [
    {
      kind: "any",
      rules: [
        pattern("03 .. .. .. .. 09 00 7c 02"),
        pattern("03 .. .. .. .. 0a 00 20 02"),
        pattern("03 .. .. .. .. 80 00 07 02"),
      ],
    },
  ],
};

export const mgcp: Recogniser = {
  name: "mgcp",
  description: "MGCP and Megaco commands in text, RFC 3435 section 3.2 and RFC 3525 annex B",
  // 40 bits and more.
  rules: [
    {
      kind: "text",
      text: ["AUEP ", "AUCX ", "CRCX ", "DLCX ", "EPCF ", "MDCX ", "NTFY ", "RQNT ", "RSIP ", "MEGACO/"],
    },
  ],
};

export const msrp: Recogniser = {
  name: "msrp",
  description: "MSRP requests, RFC 4975 section 7",
  // 40 bits.
  rules: [{ kind: "text", text: "MSRP " }],
};
