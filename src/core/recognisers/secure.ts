// SPDX-License-Identifier: Apache-2.0
// Encrypted channels, as data: TLS and its ancestors, SSH, tunnels.
import type { Recogniser, Rule } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

/** 16 03 00 to 16 03 04: TLS record type and version. 21.7 bits. */
const minorVersion: Rule = { kind: "number", at: 2, size: 1, max: 4 };

/** The first bytes of a ClientHello: its type, and its length below 65,536. */
const helloHead = ["01", "00", "..", ".."];

/** A hello may be spread over records of any size (RFC 8446 section 5.1), of which the next is a handshake too. 64 bits. */
export const tinyRecords: readonly Rule[] = [1, 2, 3, 4].map((bytes) =>
  pattern(`16 03 0. 00 0${bytes} ${helloHead.slice(0, bytes).join(" ")} 16 03 0.`),
);

export const tls: Recogniser = {
  name: "tls",
  description: "TLS 1.0 to 1.3, TLCP and SSL 3.0 records, and the SSL 2.0 client hello",
  rules: [
    {
      // A ClientHello in its record: type, version, a length that can be, handshake type 1, a 24-bit
      // length below 65,536, the client's version 3.x. 16 + 5.7 + 1.8 + 8 + 8 + 8 bits. After a clear
      // header that reads 16 03 0x (790, little endian) 25 bits stay.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "16 03" },
        minorVersion,
        { kind: "number", at: 3, size: 2, endian: "big", min: 4, max: 18_432 },
        { kind: "bytes", at: 5, hex: "01 00" },
        { kind: "bytes", at: 9, hex: "03" },
      ],
    },
    {
      // An alert: always 2 bytes long, level 1 or 2. 16 + 5.7 + 16 + 7 bits.
      kind: "all",
      rules: [{ kind: "bytes", hex: "15 03" }, minorVersion, { kind: "bytes", at: 3, hex: ["00 02 01", "00 02 02"] }],
    },
    ...tinyRecords,
    // A record that is empty, which no handshake's may be, and the next one. 56 bits.
    pattern("16 03 0. 00 00 16 03 0."),
    // A change of ciphers before anything was agreed on, and a heartbeat in clear: 44 and 36 bits.
    pattern("14 03 0. 00 01 01"),
    pattern("18 03 0. 00 03 01"),
    // The hello of TLCP, GB/T 38636: version 1.1 of its own. 24 + 16 + 16 bits.
    pattern("16 01 01 .. .. 01 00 .. .. 01 01"),
    {
      // SSL 2.0 (draft-hickman-netscape-ssl-00) and the hello in its form that offers SSL 3 or TLS (RFC 5246
      // appendix E.2): two-byte length, type 1, version, cipher list, no session id or one of 16 bytes,
      // a challenge of 16 to 32 bytes. 8 + 15 or 13 + 4 + 15 + 12 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 0x8000 + 28, max: 0x8000 + 2048 },
        { kind: "bytes", at: 2, hex: ["01 00 02", "01 03 00", "01 03 01", "01 03 02", "01 03 03"] },
        { kind: "number", at: 5, size: 2, endian: "big", min: 3, max: 1536 },
        { kind: "bytes", at: 7, hex: ["00 00", "00 10"] },
        { kind: "number", at: 9, size: 2, endian: "big", min: 16, max: 32 },
      ],
    },
  ],
};

export const ssh: Recogniser = {
  name: "ssh",
  description: "The identification string of RFC 4253 section 4.2, which either side may send first",
  // 32 bits and a digit's 4.7.
  rules: [{ kind: "text", text: ["SSH-1", "SSH-2"] }],
};

export const dtls: Recogniser = {
  name: "dtls",
  description: "A DTLS ClientHello that came over TCP, RFC 6347 section 4.1",
  // Type, version, epoch 0, a sequence number below 65,536: 72 bits.
  rules: [{ kind: "bytes", hex: ["16 fe ff 00 00 00 00 00 00", "16 fe fd 00 00 00 00 00 00"] }],
};

/** Of MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512. */
const hmacBytes = [16, 20, 28, 32, 48, 64];

export const openvpn: Recogniser = {
  name: "openvpn",
  description: "OpenVPN over TCP: P_CONTROL_HARD_RESET_CLIENT, openvpn-rfc section 5",
  rules: [
    {
      // Without tls-auth: length 14, opcode 7, session id, no acknowledgements, packet 0. 24 + 40 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 0e 38" },
        { kind: "bytes", at: 11, hex: "00 00 00 00 00" },
      ],
    },
    {
      // tls-auth puts a HMAC of 16 to 64 bytes, packet 1 and the time in between. 24 + 32 + 40 bits.
      kind: "any",
      rules: hmacBytes.map(
        (bytes): Rule => ({
          kind: "all",
          rules: [
            { kind: "bytes", hex: `00 ${(22 + bytes).toString(16)} 38` },
            { kind: "bytes", at: 11 + bytes, hex: "00 00 00 01" },
            { kind: "bytes", at: 19 + bytes, hex: "00 00 00 00 00" },
          ],
        }),
      ),
    },
    {
      // tls-crypt: packet 1 right behind the session id. 24 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 36 38" },
        { kind: "bytes", at: 11, hex: ["00 00 00 01", "0f 00 00 01"] },
      ],
    },
    {
      // tls-crypt-v2, opcode 10, a session id that is no small number, packet 1, a time since 2020, with the client's
      // wrapped key behind it. 6 + 8 + 32 + 2 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 2, endian: "big", min: 128, max: 1300 },
        { kind: "bytes", at: 2, hex: "50" },
        { kind: "not", rule: { kind: "bytes", at: 3, hex: "00 00 00" } },
        { kind: "not", rule: { kind: "bytes", at: 7, hex: "00 00 00" } },
        { kind: "bytes", at: 11, hex: ["00 00 00 01", "0f 00 00 01"] },
        { kind: "number", at: 15, size: 1, min: 0x5e, max: 0x9f },
      ],
    },
  ],
};

export const wireguard: Recogniser = {
  name: "wireguard",
  description: "A WireGuard handshake initiation over TCP, whitepaper section 5.4.2",
  rules: [
    {
      // Type 1, reserved zeros, and 116 bytes on the second MAC, which is zero without a cookie. 32 + 128 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 00 00 00" },
        { kind: "run", at: 132, class: "zero", min: 16 },
      ],
    },
  ],
};

export const tor: Recogniser = {
  name: "tor",
  description: "Tor: a VERSIONS cell outside of TLS, tor-spec section 3, and the control port's first commands",
  rules: [
    // Circuit 0, command 7, the versions from 3 on: 72 bits and more.
    {
      kind: "bytes",
      hex: ["00 00 07 00 04 00 03 00 04", "00 00 07 00 06 00 03 00 04 00 05", "00 00 07 00 08 00 03 00 04 00 05 00 06"],
    },
    // 96 bits.
    { kind: "text", text: ["AUTHENTICATE", "PROTOCOLINFO"] },
  ],
};

export const stun: Recogniser = {
  name: "stun",
  description: "STUN and TURN over TCP, RFC 8489 section 5",
  rules: [
    {
      // Two zero bits, a length in words, the magic cookie: 2 + 2 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 00 00", mask: "c0 00 00 03" },
        { kind: "bytes", at: 4, hex: "21 12 a4 42" },
      ],
    },
    {
      // In a frame below 2,048 bytes, RFC 4571 section 2: 5 + 4 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 00 00 00 00", mask: "f8 00 c0 00 00 03" },
        { kind: "bytes", at: 6, hex: "21 12 a4 42" },
      ],
    },
  ],
};
