// SPDX-License-Identifier: Apache-2.0
// The built-in profiles, as data. Each expects what a client of its protocol must send first, and
// nothing that it may choose; what is not expected is foreign.

import { pattern } from "../recognisers/pattern.ts";
import { minecraftHandshakes, minecraftLongHandshakes } from "../recognisers/peer.ts";
import { tinyRecords } from "../recognisers/secure.ts";
import { amqp, dns, grpc, kafka, ldap, mongodb, openvpn, sip, socks } from "./library_clients.ts";
import { http } from "./library_http.ts";
import { modbus } from "./library_modbus.ts";
import { postgres } from "./library_postgres.ts";
import { redis } from "./library_redis.ts";
import { ftp, imap, mysql, pop3, smtp, vnc } from "./library_server_first.ts";
import { nearStrikes } from "./near_strikes.ts";
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
      {
        kind: "any",
        rules: [
          {
            // RFC 8446 section 5.1: a record has at most 2^14 bytes.
            kind: "all",
            rules: [
              { kind: "number", at: 3, size: 2, endian: "big", min: 5, max: 16_384 },
              { kind: "bytes", at: 5, hex: "01 00" },
              { kind: "bytes", at: 9, hex: "03" },
            ],
          },
          ...tinyRecords,
        ],
      },
    ],
  },
  // A record that is no whole hello, an alert, a wrong version, the hello of SSL 2.
  near: {
    family: ["tls"],
    rules: [
      { kind: "bytes", hex: ["16 03", "15 03"] },
      pattern("16 .. .. .. .. 01 00"),
      pattern("8. .. 01 03 0."),
      pattern("8. .. 01 00 02"),
    ],
  },
  strikes: nearStrikes,
};

const ssh: ProfileSource = {
  name: "ssh",
  description: "SSH 2: an identification string, before the server's or after it",
  // Most clients do not wait for the server, and are not held up; ssh-keyscan and some libraries do.
  speaksFirst: "server",
  // RFC 4253 sections 4.2 and 5.1.
  expect: { kind: "text", text: ["SSH-2.0-", "SSH-1.99-"] },
  // SSH 1, and other versions.
  near: {
    family: ["ssh"],
    overrules: ["text"],
    rules: [{ kind: "text", text: "SSH-", ignoreCase: true }],
  },
  strikes: nearStrikes,
};

const rdp: ProfileSource = {
  name: "rdp",
  description: "Remote Desktop",
  expect: {
    kind: "any",
    rules: [
      {
        // MS-RDPBCGR section 2.2.1.1: TPKT, a connection request of class 0; then a cookie, a routing token or
        // whatever a connection broker told the client to send, a negotiation request, or nothing.
        kind: "all",
        rules: [
          { kind: "bytes", hex: "03 00" },
          { kind: "number", at: 2, size: 2, endian: "big", min: 11, max: 4096 },
          { kind: "bytes", at: 5, hex: "e0 00 00" },
          { kind: "bytes", at: 10, hex: "00" },
          {
            kind: "any",
            rules: [
              { kind: "number", at: 2, size: 2, endian: "big", min: 11, max: 11 },
              // ISO 8073 section 13.3.4: the parameters c0 to c2 are those of S7comm and its like.
              { kind: "not", rule: { kind: "number", at: 11, size: 1, min: 0xc0, max: 0xc2 } },
            ],
          },
        ],
      },
      // What selects a session before that, MS-RDPEPS section 2.2.1, versions 1 and 2.
      { kind: "bytes", hex: "10 00 00 00 00 00 00 00 01 00 00 00" },
      {
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "little", min: 18, max: 4096 },
          { kind: "bytes", at: 4, hex: "00 00 00 00 02 00 00 00" },
        ],
      },
    ],
  },
  // A connection request with other fields.
  near: {
    family: ["rdp"],
    rules: [pattern("03 00 .. .. .. e0")],
  },
  strikes: nearStrikes,
};

const mqtt: ProfileSource = {
  name: "mqtt",
  description: "MQTT 3.1, 3.1.1 and 5",
  expect: { kind: "protocol", name: "mqtt" },
  // Another name of the protocol, and what comes after CONNECT: a ping, an end.
  near: {
    rules: [pattern("10 .. 00 04 4d 51"), pattern("10 .. 00 06 4d 51"), { kind: "bytes", hex: ["c0 00", "e0 00"] }],
  },
  strikes: nearStrikes,
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
      { kind: "any", rules: minecraftLongHandshakes },
    ],
  },
  // A list ping with other bytes behind it.
  near: {
    family: ["minecraft"],
    rules: [{ kind: "bytes", hex: "fe" }],
  },
  strikes: nearStrikes,
};

export const defaultProfileName = "tapetrack";

export const profileLibrary: ReadonlyMap<string, ProfileSource> = new Map(
  Object.entries({
    tapetrack,
    opaque,
    tls,
    ssh,
    http,
    grpc,
    rdp,
    mqtt,
    amqp,
    kafka,
    postgres,
    redis,
    mongodb,
    ldap,
    dns,
    sip,
    socks,
    openvpn,
    minecraft,
    modbus,
    smtp,
    imap,
    pop3,
    ftp,
    mysql,
    vnc,
  }),
);
