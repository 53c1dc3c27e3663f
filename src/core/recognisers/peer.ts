// SPDX-License-Identifier: Apache-2.0
// Peers and games, as data.
import type { Recogniser, Rule } from "../signature.ts";

export const bittorrent: Recogniser = {
  name: "bittorrent",
  description: "BitTorrent's handshake, BEP 3",
  // 160 bits. (The encrypted handshake looks like ciphertext, and is not told apart.)
  rules: [{ kind: "text", text: "\u0013BitTorrent protocol" }],
};

export const bitcoin: Recogniser = {
  name: "bitcoin",
  description: "Bitcoin and its relatives: the first message behind any network's magic, protocol documentation",
  // 96 bits.
  rules: [
    {
      kind: "text",
      at: 4,
      text: ["version\0\0\0\0\0", "verack\0\0\0\0\0\0", "getaddr\0\0\0\0\0", "ping\0\0\0\0\0\0\0\0"],
    },
  ],
};

/** A handshake up to its host name: packet 0, a protocol version of 1, 2 or (-1) 5 bytes, the name's length. */
const minecraftHeads: readonly { readonly head: Rule; readonly nameAt: number }[] = [
  { head: { kind: "bytes", at: 1, hex: "00 00", mask: "ff 80" }, nameAt: 4 },
  { head: { kind: "bytes", at: 1, hex: "00 80 00", mask: "ff 80 80" }, nameAt: 5 },
  { head: { kind: "bytes", at: 1, hex: "00 ff ff ff ff 0f" }, nameAt: 8 },
];

export const minecraft: Recogniser = {
  name: "minecraft",
  description: "Minecraft: a handshake, and the list ping of older clients",
  rules: [
    {
      // A host name of 4 bytes and more, the usual port 25,565 (whose first byte is a letter, c), and what
      // comes next: a status request, or a login with a player's name. 8 + 1 + 2 + 8 bits, and behind the
      // name, where a header with an ASCII magic is over, 32 or 24 + 12.
      kind: "any",
      rules: minecraftHeads.map(
        ({ head, nameAt }): Rule => ({
          kind: "all",
          rules: [
            head,
            { kind: "number", at: nameAt - 1, size: 1, min: 4, max: 64 },
            { kind: "run", at: nameAt, class: "alnum", also: "2d 2e 3a", min: 5, max: 65, until: "dd" },
            {
              kind: "any",
              rules: [
                { kind: "bytes", hex: "01 01 00", after: true },
                {
                  kind: "all",
                  rules: [
                    { kind: "bytes", hex: "02 00 00 00", mask: "ff 80 ff e0", after: true },
                    { kind: "run", class: "alnum", also: "5f", min: 3, after: true },
                  ],
                },
              ],
            },
          ],
        }),
      ),
    },
    {
      // Any port, and silence: a length that fits, alone or with the 2 bytes of a status request behind it.
      // A host name of 7 bytes: 8 + 8 + 1 + 2 + 14 bits.
      kind: "any",
      rules: minecraftHeads.flatMap(({ head, nameAt }) =>
        [1, 3].map(
          (plus): Rule => ({
            kind: "all",
            rules: [
              { kind: "number", size: 1, max: 127, length: "equals", plus },
              head,
              { kind: "number", at: nameAt - 1, size: 1, min: 7, max: 64 },
              { kind: "run", at: nameAt, class: "alnum", also: "2d 2e 3a", min: 7 },
            ],
          }),
        ),
      ),
    },
    // The list ping of 1.6: 40 bits.
    { kind: "bytes", hex: "fe 01 fa 00 0b" },
    {
      // The list pings before, and silence: 1 or 2 bytes, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["fe 01"] },
        { kind: "length", max: 2 },
      ],
    },
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["fe"] },
        { kind: "length", max: 1 },
      ],
    },
  ],
};
