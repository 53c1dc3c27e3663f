// SPDX-License-Identifier: Apache-2.0
// Names, directories, authentication and time, as data.
import type { Recogniser, Rule } from "../signature/signature.ts";

interface Pattern {
  readonly hex: string;
  readonly mask: string;
}

/** BER's forms of a length (RFC 4511 section 5.1), by the bytes that it takes. */
const berLengths = {
  short: { hex: "00", mask: "80" },
  one: { hex: "81 00", mask: "ff 00" },
  two: { hex: "82 00 00", mask: "ff 00 00" },
  four: { hex: "84 00 00 00 00", mask: "ff ff 00 00 00" },
} as const satisfies Readonly<Record<string, Pattern>>;

/** Of a message and of what is in it, as encoders pair them: Windows always takes four bytes. */
const berPairs = (["short", "one", "two", "four"] as const).flatMap((outer, index, forms) =>
  forms
    .slice(0, index + 1)
    .filter((inner) => outer !== "four" || inner === "four" || inner === "short")
    .map((inner) => [berLengths[outer], berLengths[inner]] as const),
);

/** RFC 4511 section 4.1.1: up to 2^31 - 1. */
const ldapIds: readonly Pattern[] = [
  { hex: "02 01 00", mask: "ff ff 80" },
  { hex: "02 02 00 00", mask: "ff ff 80 00" },
  { hex: "02 03 00 00 00", mask: "ff ff 80 00 00" },
  { hex: "02 04 00 00 00 00", mask: "ff ff 80 00 00 00" },
];

/** A request's tag, and what comes behind its length; `isWide`: only where lengths take four bytes. */
const ldapRequests: readonly { readonly tag: Pattern; readonly body: Pattern; readonly isWide?: boolean }[] = [
  // Bind of version 2 or 3.
  { tag: { hex: "60", mask: "ff" }, body: { hex: "02 01 02", mask: "ff ff fe" } },
  // Search, modify, add, rename, compare (63, 66, 68, 6c, 6e): a name of less than 256 bytes.
  { tag: { hex: "60", mask: "f0" }, body: { hex: "04 00", mask: "ff 80" } },
  { tag: { hex: "60", mask: "f0" }, body: { hex: "04 84 00 00 00", mask: "ff ff ff ff ff" }, isWide: true },
  // Extended: an object id that begins with 1.
  { tag: { hex: "77", mask: "ff" }, body: { hex: "80 00 31 2e", mask: "ff 80 ff ff" } },
  {
    tag: { hex: "77", mask: "ff" },
    body: { hex: "80 84 00 00 00 00 31 2e", mask: "ff ff ff ff ff 00 ff ff" },
    isWide: true,
  },
];

const joined = (...patterns: readonly Pattern[]): Rule => ({
  kind: "bytes",
  hex: patterns.map(({ hex }) => hex).join(" "),
  mask: patterns.map(({ mask }) => mask).join(" "),
});

const sequence: Pattern = { hex: "30", mask: "ff" };

export const ldap: Recogniser = {
  name: "ldap",
  description: "LDAP: the first request, RFC 4511 section 4",
  rules: [
    {
      // The least of them, a short message with a short search: 8 + 1 + 17 + 4 + 1 + 9 bits.
      kind: "any",
      rules: ldapIds.flatMap((id) =>
        berPairs.flatMap(([outer, inner]) =>
          ldapRequests
            .filter(({ isWide }) => isWide !== true || inner === berLengths.four)
            .map(({ tag, body }) => joined(sequence, outer, id, tag, inner, body)),
        ),
      ),
    },
    {
      // Delete: the name begins with an attribute and "=". 8 + 1 + 17 + 8 + 1 + 2 + 8 bits.
      kind: "any",
      rules: ldapIds.map(
        (id): Rule => ({
          kind: "all",
          rules: [
            joined(sequence, berLengths.short, id, { hex: "4a 00", mask: "ff 80" }),
            { kind: "run", class: "letter", min: 1, max: 12, until: "3d", after: true },
          ],
        }),
      ),
    },
    // Unbind and abandon of what was never begun: 7 bytes or 8 and silence, no friend's packet.
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["30 05 02 01 00 42 00", "30 06 02 01 00 50 01"], mask: "ff ff ff ff 00 ff ff" },
        { kind: "length", max: 8 },
      ],
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

/** Between the labels of a name, below 0x21; above they are visible. */
const dnsLabelLengths = Array.from({ length: 32 }, (_, index) => (index + 1).toString(16).padStart(2, "0")).join(" ");

export const dns: Recogniser = {
  name: "dns",
  description: "DNS queries over TCP, RFC 1035 sections 4.1.1 and 4.2.2",
  rules: [
    {
      // The root's A, NS, SOA, DNSKEY or ANY: a length below 1,024, a standard query, at most one record in the last
      // section. 6 + 7 + 5 + 48 bits, which a header of numbers may be, and 22 beyond it.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 17, max: 1023 },
        { kind: "bytes", at: 4, hex: "00 00 00 01 00 00 00 00 00 00", mask: "fe 8f ff ff ff ff ff fe ff fe" },
        {
          kind: "bytes",
          at: 14,
          hex: ["00 00 01 00 01", "00 00 02 00 01", "00 00 06 00 01", "00 00 30 00 01", "00 00 ff 00 01"],
        },
      ],
    },
    {
      // With any id, of any length and operation (RFC 1035, 1996, 2136), as TKEY of Windows is: a query, one
      // question or zone, fewer than 16 records in each other section; a name, its end, a type below 256 and
      // class IN, CH, NONE or ANY. 1 + 16 + 28 + 2 bits, and beyond any header 3 + 30 more.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 17 },
        { kind: "bytes", at: 4, hex: "00 00 00 01 00 00 00 00 00 00", mask: "80 00 ff ff ff f0 ff f0 ff f0" },
        { kind: "number", at: 14, size: 1, min: 1, max: 63 },
        { kind: "run", at: 15, class: "visible", also: dnsLabelLengths, min: 1, max: 220, until: "00" },
        {
          kind: "bytes",
          hex: ["00 00 00 01", "00 00 00 03", "00 00 00 fe", "00 00 00 ff"],
          mask: "ff 00 ff ff",
          after: true,
        },
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
      // and, as 20 bytes lie before it, a header cannot pretend to it.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["01", "04", "0c"] },
        { kind: "number", at: 2, size: 2, endian: "big", min: 38, max: 4096 },
        { kind: "bytes", at: 20, hex: "50 12" },
        { kind: "bytes", at: 2, hex: "00", mask: "f0" },
        {
          // And another attribute of a fixed length: NAS address or port, service, kind of accounting. 16 bits.
          kind: "any",
          rules: [
            { kind: "bytes", at: 38, hex: ["04 06", "05 06 00", "06 06 00", "28 06 00", "3d 06 00"] },
            {
              // Or a user's or NAS's name, RFC 2865 sections 5.1 and 5.32: 8 + 2 + 4 bits.
              kind: "all",
              rules: [
                { kind: "bytes", at: 38, hex: ["01", "1f", "20"] },
                { kind: "number", at: 39, size: 1, min: 5, max: 66 },
                { kind: "run", at: 40, class: "visible", min: 3 },
              ],
            },
            // Or nothing, in a server status request: 5 + 12 bits.
            { kind: "bytes", hex: "0c 00 00 26", mask: "ff 00 ff ff" },
          ],
        },
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
