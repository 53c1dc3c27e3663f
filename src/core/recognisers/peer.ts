// SPDX-License-Identifier: Apache-2.0
// Peers and games, as data.
import type { Recogniser, Rule } from "../signature/signature.ts";

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

/** A handshake's packet number and protocol version, of 1, 2 or (-1) 5 bytes; they begin at byte 1. */
const minecraftVersions = [
  { hex: "00 00", mask: "ff 80" },
  { hex: "00 80 00", mask: "ff 80 80" },
  { hex: "00 ff ff ff ff 0f", mask: "ff ff ff ff ff ff" },
];

/** Names of 4 to 64 bytes; a shorter one is no evidence. */
const minecraftNameBytes = Array.from({ length: 61 }, (_, index) => index + 4);

/** Every length of the name has one length of the packet and one place of the state that comes next. */
function minecraftHandshake(version: { hex: string; mask: string }, nameBytes: number): Rule[] {
  const nameAt = 1 + (version.hex.length + 1) / 3 + 1;
  const stateAt = nameAt + nameBytes + 2;
  return [
    { kind: "number", size: 1, min: stateAt, max: stateAt },
    { kind: "bytes", at: 1, ...version },
    { kind: "number", at: nameAt - 1, size: 1, min: nameBytes, max: nameBytes },
    { kind: "number", at: stateAt, size: 1, min: 1, max: 3 },
  ];
}

/** With names of 1 to 116 bytes, whatever they are: what a server has to expect. */
export const minecraftHandshakes: Rule[] = minecraftVersions.flatMap((version) =>
  Array.from({ length: 116 }, (_, index): Rule => ({ kind: "all", rules: minecraftHandshake(version, index + 1) })),
);

export const minecraft: Recogniser = {
  name: "minecraft",
  description: "Minecraft: a handshake, and the list ping of older clients",
  rules: [
    {
      // The packet's length, packet 0, a version, the name's length, the name, the state that comes next:
      // 8 + 8 + 1 + 8 + 8 (4 bytes) + 6 bits; no clear header has both lengths right.
      kind: "any",
      rules: minecraftVersions.flatMap((version) =>
        minecraftNameBytes.map(
          (bytes): Rule => ({
            kind: "all",
            rules: [
              ...minecraftHandshake(version, bytes),
              { kind: "run", at: 2 + (version.hex.length + 1) / 3, class: "alnum", also: "2d 2e 3a 5f", min: bytes },
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

export const edonkey: Recogniser = {
  name: "edonkey",
  description: "eDonkey: a hello to another client, or a login to a server",
  // e3, a length below 65,536, hello with a hash of 16 bytes or login. 8 + 16 + 15 bits.
  rules: [
    { kind: "bytes", hex: "e3 00 00 00 00 01 10", mask: "ff 00 00 ff ff ff ff" },
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: "e3 00 00 00 00 01", mask: "ff 00 00 ff ff ff" },
        { kind: "bytes", at: 28, hex: "02 00 00 00" },
      ],
    },
  ],
};

export const worldOfWarcraft: Recogniser = {
  name: "world-of-warcraft",
  description: "World of Warcraft: the greeting of a client",
  // 16 + 64 bits.
  rules: [{ kind: "text", at: 2, text: "WORLD OF WARCRAFT" }],
};
