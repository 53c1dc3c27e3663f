// SPDX-License-Identifier: Apache-2.0
// Remote calls of Java beside java.ts, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const dubbo: Recogniser = {
  name: "dubbo",
  description: "Apache Dubbo: a request, Dubbo2 protocol",
  rules: [
    {
      // The magic, a request, no status; a body below 65,536: 16 + 1 + 8 + 16 bits.
      kind: "all",
      rules: [{ kind: "bytes", hex: "da bb 80 00", mask: "ff ff 80 ff" }, pattern("00 00", 12)],
    },
  ],
};

export const hadoop: Recogniser = {
  name: "hadoop",
  description: "Hadoop's remote calls, and HBase's: the connection header",
  // 32 bits, and a version below 16 or none: 4 bits.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "text", text: ["hrpc", "HBas"] },
        { kind: "number", at: 4, size: 1, max: 15 },
      ],
    },
  ],
};

export const jdwp: Recogniser = {
  name: "jdwp",
  description: "Java Debug Wire Protocol: the handshake",
  // 112 bits.
  rules: [{ kind: "text", text: "JDWP-Handshake" }],
};
