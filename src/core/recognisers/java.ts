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
  description: "A serialised Java object, Java Object Serialization specification section 6.4.2",
  // 32 bits.
  rules: [{ kind: "bytes", hex: "ac ed 00 05" }],
};

export const weblogic: Recogniser = {
  name: "weblogic",
  description: "WebLogic's T3 and T3S: the client's version line",
  rules: [
    {
      // t3, a version of one or two digits and a dot: 24 + 4.7 + 5 + 8 bits.
      kind: "all",
      rules: [
        { kind: "text", text: ["t3 ", "t3s "] },
        { kind: "run", class: "digit", min: 1, max: 2, until: "2e", after: true },
        { kind: "run", class: "digit", min: 1, after: true },
      ],
    },
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
