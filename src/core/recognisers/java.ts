// SPDX-License-Identifier: Apache-2.0
// Java's protocols and CORBA, as data.
import type { Recogniser } from "../signature/signature.ts";

export const javaRmi: Recogniser = {
  name: "java-rmi",
  description: "Java RMI: the stream's header, RMI specification section 10.2",
  // Magic and a version below 256: 40 bits.
  rules: [{ kind: "bytes", hex: "4a 52 4d 49 00" }],
};

export const javaObjects: Recogniser = {
  name: "java-objects",
  description: "A serialised Java object, Java Object Serialization specification section 6.4.2, and WebLogic T3",
  // 32 bits and more.
  rules: [
    { kind: "bytes", hex: "ac ed 00 05" },
    { kind: "text", text: ["t3 7.", "t3 8.", "t3 9.", "t3 10.", "t3 12.", "t3 14."] },
  ],
};

export const ajp: Recogniser = {
  name: "ajp",
  description: "AJP 1.3: a forwarded request, or a ping",
  rules: [
    {
      // Forward, and the protocol's name as a string: 16 + 8 + 56 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "12 34" },
        { kind: "bytes", at: 4, hex: "02" },
        { kind: "bytes", at: 6, hex: "00 08 48 54 54 50 2f" },
      ],
    },
    {
      // Ping: 5 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "12 34 00 01 0a" },
        { kind: "length", max: 5 },
      ],
    },
  ],
};

export const giop: Recogniser = {
  name: "giop",
  description: "CORBA: a GIOP message, CORBA 3.3 part 2 section 9.4.1",
  // Magic and version 1: 40 bits.
  rules: [{ kind: "bytes", hex: "47 49 4f 50 01" }],
};
