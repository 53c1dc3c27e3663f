// SPDX-License-Identifier: Apache-2.0
// The built-in profiles, as data. Each expects what a client of its protocol must send first, and
// nothing that it may choose; what is not expected is foreign.

import { minecraftHandshakes } from "../recognisers/peer.ts";
import type { ProfileSource } from "./profile.ts";

/** What is public of TapeTrack's wire: ciphertext, perhaps after a short clear header. */
const tapetrack: ProfileSource = {
  name: "tapetrack",
  description: "TapeTrack Server: ciphertext, 44 bytes or more, perhaps after a clear header of up to 16 bytes",
  expect: { kind: "ciphertext", header: 16, shortest: 44 },
  foreign: "all",
  // 32 clear bits and then what looks random up to byte 132: a friend with such a header would have to
  // wait for more bytes than it has to send.
  tolerate: ["wireguard"],
  strikes: 3,
};

const opaque: ProfileSource = {
  name: "opaque",
  description: "Anything that is ciphertext from its first byte",
  expect: { kind: "ciphertext", header: 0, shortest: 32 },
  foreign: "all",
  tolerate: ["wireguard"],
};

const tls: ProfileSource = {
  name: "tls",
  description: "TLS 1.0 to 1.3: a ClientHello. A file of one's own can ask for server names: kind tls, sni",
  expect: {
    kind: "all",
    rules: [
      { kind: "bytes", hex: "16 03 00", mask: "ff ff fc" },
      // RFC 8446 section 5.1: a record is at most 2^14 bytes, and a hello has at least 42.
      { kind: "number", at: 3, size: 2, endian: "big", min: 46, max: 16_384 },
      { kind: "bytes", at: 5, hex: "01 00" },
      { kind: "bytes", at: 9, hex: "03" },
    ],
  },
};

const ssh: ProfileSource = {
  name: "ssh",
  description: "SSH 2. A client that waits for the server's banner does not get in: most do not wait",
  // RFC 4253 sections 4.2 and 5.1.
  expect: { kind: "text", text: ["SSH-2.0-", "SSH-1.99-"] },
};

const http: ProfileSource = {
  name: "http",
  description: "HTTP/1 requests and HTTP/2 with prior knowledge",
  expect: {
    kind: "any",
    rules: [
      { kind: "protocol", name: "http2" },
      {
        // RFC 9112 section 3: method, space, target, space, version.
        kind: "all",
        rules: [
          { kind: "run", class: "token", min: 1, max: 32, until: "20" },
          { kind: "run", class: "visible", min: 1, max: 2048, until: "20", after: true },
          { kind: "text", text: "HTTP/1.", after: true },
        ],
      },
    ],
  },
};

const rdp: ProfileSource = { name: "rdp", description: "Remote Desktop", expect: { kind: "protocol", name: "rdp" } };

const mqtt: ProfileSource = {
  name: "mqtt",
  description: "MQTT 3.1, 3.1.1 and 5",
  expect: { kind: "protocol", name: "mqtt" },
};

const postgres: ProfileSource = {
  name: "postgres",
  description: "PostgreSQL, with or without encryption",
  expect: {
    kind: "any",
    rules: [
      { kind: "bytes", hex: ["00 00 00 08 04 d2 16 2f", "00 00 00 08 04 d2 16 30", "00 00 00 10 04 d2 16 2e"] },
      {
        // Any parameter may come first; names are of letters, digits, dots and underscores.
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "big", min: 9, max: 10_000 },
          { kind: "bytes", at: 4, hex: "00 03 00" },
          { kind: "run", at: 8, class: "alnum", also: "2e 5f", min: 1, max: 63, until: "00" },
        ],
      },
      // PostgreSQL 17: TLS at once, with ALPN.
      { kind: "tls", alpn: ["postgresql"] },
    ],
  },
};

const redis: ProfileSource = {
  name: "redis",
  description: "Redis: RESP arrays, and inline commands of letters",
  expect: {
    kind: "any",
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "text", text: "*" },
          { kind: "run", at: 1, class: "digit", min: 1, max: 7, until: "0d" },
          { kind: "text", text: "\n$", after: true },
        ],
      },
      { kind: "text", text: ["ECHO ", "INFO\r\n", "PING\r\n", "QUIT\r\n", "SELECT "], ignoreCase: true },
    ],
  },
};

const minecraft: ProfileSource = {
  name: "minecraft",
  description: "Minecraft, Java edition: a handshake, or the list ping of older clients",
  expect: {
    kind: "any",
    rules: [
      { kind: "protocol", name: "minecraft" },
      // Names of any length and any bytes: Forge puts a marker behind a zero byte, and relays put addresses there.
      { kind: "any", rules: minecraftHandshakes },
    ],
  },
};

const modbus: ProfileSource = {
  name: "modbus",
  description: "Modbus/TCP",
  expect: {
    // Modbus Messaging section 3.1.3: protocol 0 and a length; Modbus application protocol section 6: each
    // function has its own.
    kind: "all",
    rules: [
      { kind: "bytes", at: 2, hex: "00 00 00" },
      {
        kind: "any",
        rules: [
          {
            kind: "bytes",
            at: 5,
            hex: ["06 00 01", "06 00 02", "06 00 03", "06 00 04", "06 00 05", "06 00 06", "06 00 08"],
            mask: "ff 00 ff",
          },
          { kind: "bytes", at: 5, hex: ["02 00 07", "02 00 0b", "02 00 0c", "02 00 11"], mask: "ff 00 ff" },
          { kind: "bytes", at: 5, hex: ["08 00 16", "04 00 18", "05 00 2b"], mask: "ff 00 ff" },
          {
            kind: "all",
            rules: [
              { kind: "number", at: 5, size: 1, min: 8, max: 254 },
              // Of files and of several coils or registers, and those that a maker may define.
              {
                kind: "any",
                rules: [
                  { kind: "bytes", at: 7, hex: ["0f", "10", "14", "15", "17", "2b"] },
                  { kind: "number", at: 7, size: 1, min: 0x41, max: 0x48 },
                  { kind: "number", at: 7, size: 1, min: 0x64, max: 0x6e },
                ],
              },
            ],
          },
        ],
      },
    ],
  },
};

export const defaultProfileName = "tapetrack";

export const profileLibrary: ReadonlyMap<string, ProfileSource> = new Map(
  Object.entries({ tapetrack, opaque, tls, ssh, http, rdp, mqtt, postgres, redis, minecraft, modbus }),
);

/** Protocols whose server greets first: no client can be judged before the server has spoken. */
export const serverFirstProtocols: ReadonlySet<string> = new Set([
  "ftp",
  "imap",
  "irc",
  "mysql",
  "nbd",
  "pop3",
  "smtp",
  "telnet",
  "vnc",
]);
