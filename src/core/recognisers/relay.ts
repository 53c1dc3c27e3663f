// SPDX-License-Identifier: Apache-2.0
// Clients that ask for another server, and what relays put in front, as data.
import type { Recogniser, Rule } from "../signature/signature.ts";

/** A version and 1 to 4 methods. */
const socks5Greetings = [
  { hex: "05 01 00", mask: "ff ff ff" },
  { hex: "05 02 00 00", mask: "ff ff 00 00" },
  { hex: "05 03 00 00 00", mask: "ff ff 00 00 00" },
  { hex: "05 04 00 00 00 00", mask: "ff ff 00 00 00 00" },
];

export const socks: Recogniser = {
  name: "socks",
  description: "SOCKS 4, 4a and 5 requests, RFC 1928 and the SOCKS 4 memos",
  rules: [
    {
      // SOCKS 5 says how many methods it offers, offers them, and falls silent: 3 to 12 bytes, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "05" },
        { kind: "number", at: 1, size: 1, min: 1, max: 10, length: "equals", plus: 2 },
      ],
    },
    {
      // Methods and the request for a host name at once: 56 bits and more, and 16 of the name.
      kind: "any",
      rules: socks5Greetings.map(
        ({ hex, mask }): Rule => ({
          kind: "all",
          rules: [
            { kind: "bytes", hex: `${hex} 05 01 00 03`, mask: `${mask} ff ff ff ff` },
            { kind: "number", size: 1, min: 4, max: 255, after: true },
            { kind: "run", class: "alnum", also: "2d 2e 5f", min: 4, after: true },
          ],
        }),
      ),
    },
    {
      // SOCKS 4: connect or bind, port, address, a user name and its end, and silence. A friend's 16 bytes
      // would need 7 visible ones and a zero at the end: 8 + 7 + 10 + 8 bits and a packet of 16 bytes.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["04 01", "04 02"] },
        { kind: "run", at: 8, class: "visible", min: 0, max: 64, until: "00" },
        { kind: "run", class: "any", min: 0, max: 0, until: "end", after: true },
      ],
    },
    {
      // SOCKS 4a: a port, the address 0.0.0.x, and a host name as well. 15 + 24 + 8 + 14 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["04 01", "04 02"] },
        { kind: "not", rule: { kind: "bytes", at: 2, hex: "00 00" } },
        { kind: "bytes", at: 4, hex: "00 00 00" },
        { kind: "number", at: 7, size: 1, min: 1 },
        { kind: "run", at: 8, class: "visible", min: 0, max: 64, until: "00" },
        { kind: "run", class: "alnum", also: "2d 2e 5f", min: 3, max: 180, until: "00", after: true },
      ],
    },
  ],
};

export const proxy: Recogniser = {
  name: "proxy",
  description: "The PROXY protocol, versions 1 and 2, haproxy proxy-protocol.txt section 2",
  // 72 and 96 bits.
  rules: [
    { kind: "text", text: ["PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"] },
    { kind: "bytes", hex: "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a" },
  ],
};
