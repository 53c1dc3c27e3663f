// SPDX-License-Identifier: Apache-2.0
// Names, directories, authentication and time, as data.
import type { Recogniser, Rule } from "../signature/signature.ts";

/** An LDAPMessage (RFC 4511 section 4.1.1) up to its operation: every form of the length, a message id of one byte. */
const ldapHeads = [
  { hex: "30 00 02 01 00", mask: "ff 80 ff ff 00" },
  { hex: "30 81 00 02 01 00", mask: "ff ff 00 ff ff 00" },
  { hex: "30 82 00 00 02 01 00", mask: "ff ff 00 00 ff ff 00" },
  { hex: "30 84 00 00 00 00 02 01 00", mask: "ff ff ff ff 00 00 ff ff 00" },
];

/** Bind of version 2 or 3; search with a base; extended request with an object id that begins with 1. */
const ldapOperations = [
  { hex: "60 00 02 01 02", mask: "ff 80 ff ff fe" },
  { hex: "60 81 00 02 01 02", mask: "ff ff 00 ff ff fe" },
  { hex: "60 82 00 00 02 01 02", mask: "ff ff 00 00 ff ff fe" },
  { hex: "60 84 00 00 00 00 02 01 02", mask: "ff ff ff ff 00 00 ff ff fe" },
  { hex: "63 00 04", mask: "ff 80 ff" },
  { hex: "63 81 00 04", mask: "ff ff 00 ff" },
  { hex: "63 82 00 00 04", mask: "ff ff 00 00 ff" },
  { hex: "63 84 00 00 00 00 04", mask: "ff ff ff ff 00 00 ff" },
  { hex: "77 00 80 00 31 2e", mask: "ff 80 ff 80 ff ff" },
  { hex: "77 84 00 00 00 00 80 00 00 00 00 00 31 2e", mask: "ff ff ff ff 00 00 ff 00 00 00 00 00 ff ff" },
];

export const ldap: Recogniser = {
  name: "ldap",
  description: "LDAP: the first request, RFC 4511 section 4",
  rules: [
    {
      // The least of them, a short message with a short search: 8 + 1 + 16 + 8 + 1 + 8 bits.
      kind: "any",
      rules: ldapHeads.flatMap((head) =>
        ldapOperations.map(
          (operation): Rule => ({
            kind: "bytes",
            hex: `${head.hex} ${operation.hex}`,
            mask: `${head.mask} ${operation.mask}`,
          }),
        ),
      ),
    },
  ],
};

export const kerberos: Recogniser = {
  name: "kerberos",
  description: "Kerberos over TCP: AS and TGS requests of version 5, RFC 4120 sections 5.4.1 and 7.2.2",
  rules: [
    {
      // A length below 65,536; application 10 or 12; the version. 16 + 7 + 8 + 8 + 40 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        {
          kind: "any",
          rules: [
            {
              kind: "bytes",
              at: 4,
              hex: ["6a 81 00 30 81 00 a1 03 02 01 05", "6c 81 00 30 81 00 a1 03 02 01 05"],
              mask: "ff ff 00 ff ff 00 ff ff ff ff ff",
            },
            {
              kind: "bytes",
              at: 4,
              hex: ["6a 81 00 30 00 a1 03 02 01 05", "6c 81 00 30 00 a1 03 02 01 05"],
              mask: "ff ff 00 ff 80 ff ff ff ff ff",
            },
            {
              kind: "bytes",
              at: 4,
              hex: ["6a 82 00 00 30 82 00 00 a1 03 02 01 05", "6c 82 00 00 30 82 00 00 a1 03 02 01 05"],
              mask: "ff ff 00 00 ff ff 00 00 ff ff ff ff ff",
            },
            {
              kind: "bytes",
              at: 4,
              hex: ["6a 82 00 00 30 81 00 a1 03 02 01 05", "6c 82 00 00 30 81 00 a1 03 02 01 05"],
              mask: "ff ff 00 00 ff ff 00 ff ff ff ff ff",
            },
          ],
        },
      ],
    },
  ],
};

export const dns: Recogniser = {
  name: "dns",
  description: "DNS queries over TCP, RFC 1035 sections 4.1.1 and 4.2.2",
  rules: [
    {
      // A length below 1,024 and an id; a standard query, one question, no answers, at most one record
      // in the other sections; the name. 6 + 7 + 5 + 16 + 16 + 15 + 15 + 1 bits. A clear header of numbers
      // could pretend to most of it, but then has a zero where every client has a random id.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 17, max: 1023 },
        { kind: "not", rule: { kind: "bytes", at: 2, hex: "00 00" } },
        { kind: "bytes", at: 4, hex: "00 00 00 01 00 00 00 00 00 00", mask: "fe 8f ff ff ff ff ff fe ff fe" },
        { kind: "number", at: 14, size: 1, max: 63 },
      ],
    },
    {
      // A server status request: 16 + 80 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 0c" },
        { kind: "bytes", at: 4, hex: "10 00 00 00 00 00 00 00 00 00" },
      ],
    },
  ],
};

export const diameter: Recogniser = {
  name: "diameter",
  description: "Diameter: a capabilities exchange request, RFC 6733 section 5.3.1",
  rules: [
    {
      // Version 1, a length below 65,536, a request, command 257, application 0: 16 + 4 + 24 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 00" },
        { kind: "bytes", at: 4, hex: "80 00 01 01 00 00 00 00", mask: "8f ff ff ff ff ff ff ff" },
      ],
    },
  ],
};

export const radius: Recogniser = {
  name: "radius",
  description: "RADIUS over TCP, RFC 6613 and RFC 2865 section 3 (over TLS it is TLS)",
  rules: [
    {
      // Access request, accounting or server status with a message authenticator in front: 8 + 4 + 16 bits
      // and, as 20 bytes lie before it, a header can not pretend to it.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["01", "04", "0c"] },
        { kind: "number", at: 2, size: 2, endian: "big", min: 38, max: 4096 },
        { kind: "bytes", at: 20, hex: "50 12" },
        { kind: "bytes", at: 2, hex: "00", mask: "f0" },
      ],
    },
    {
      // A user name of at least 3 visible bytes, then a password of 16: 8 + 4 + 8 + 2 + 4 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01" },
        { kind: "bytes", at: 2, hex: "00", mask: "f0" },
        { kind: "bytes", at: 20, hex: "01" },
        { kind: "number", at: 21, size: 1, min: 3, max: 66 },
        { kind: "run", at: 22, class: "visible", min: 3, max: 64, until: "02" },
        { kind: "bytes", hex: "12", after: true },
      ],
    },
  ],
};

export const ntp: Recogniser = {
  name: "ntp",
  description: "An NTP client's packet that came over TCP, RFC 5905 section 7.3",
  rules: [
    {
      // Mode 3, no stratum, small delay and dispersion; reference, origin and receive timestamps are zero:
      // 3 + 24 + 192 bits. The first 27 are there so that a friend's block of 16 bytes need not wait.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "03 00", mask: "07 ff" },
        { kind: "bytes", at: 4, hex: "00" },
        { kind: "bytes", at: 8, hex: "00" },
        { kind: "run", at: 16, class: "zero", min: 24 },
      ],
    },
  ],
};
