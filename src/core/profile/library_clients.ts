// SPDX-License-Identifier: Apache-2.0
// Built-in profiles of protocols whose clients speak first and whose first message has few forms. None
// asks for more than the specification makes every client send.

import { pattern } from "../recognisers/pattern.ts";
import type { Rule } from "../signature/signature.ts";
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

export const grpc: ProfileSource = {
  name: "grpc",
  description: "gRPC and other HTTP/2 with prior knowledge, without TLS",
  expect: { kind: "protocol", name: "http2" },
  // SETTINGS without the preface before it.
  near: { rules: [pattern("00 00 .. 04 .. 00 00 00 00")] },
  strikes: nearStrikes,
};

export const amqp: ProfileSource = {
  name: "amqp",
  description: "AMQP 0-8 to 1.0, such as RabbitMQ",
  expect: { kind: "protocol", name: "amqp" },
  // A version that nobody has.
  near: {
    family: ["amqp"],
    overrules: ["text"],
    rules: [{ kind: "text", text: "AMQP" }],
  },
  strikes: nearStrikes,
};

export const kafka: ProfileSource = {
  name: "kafka",
  description: "Kafka: any request of a client",
  expect: {
    // Protocol guide, request header 0 to 2: a length, an API, its version, a correlation, a client id or none.
    kind: "all",
    rules: [
      { kind: "number", size: 4, endian: "big", min: 8, max: 0xff_ffff },
      { kind: "number", at: 4, size: 2, endian: "big", max: 127 },
      { kind: "number", at: 6, size: 2, endian: "big", max: 31 },
      { kind: "bytes", at: 12, hex: ["00", "01", "ff ff"] },
      // PostgreSQL's start-up has the name of a parameter in place of the correlation.
      { kind: "not", rule: { kind: "run", at: 8, class: "letter", min: 4 } },
    ],
  },
  // A version of a request that nobody has, a client id of another length.
  near: {
    family: ["kafka"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "big", min: 8, max: 0xff_ffff },
          { kind: "number", at: 4, size: 2, endian: "big", max: 127 },
          { kind: "number", at: 6, size: 2, endian: "big", max: 255 },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};

export const mongodb: ProfileSource = {
  name: "mongodb",
  description: "MongoDB: any message of a client",
  expect: {
    // Wire protocol, standard message header: a length up to 48,000,000, in answer to nothing, an operation.
    kind: "all",
    rules: [
      { kind: "number", size: 4, endian: "little", min: 16, max: 48_000_000 },
      { kind: "bytes", at: 8, hex: ["00 00 00 00", "ff ff ff ff"] },
      { kind: "number", at: 12, size: 4, endian: "little", min: 2001, max: 2013 },
    ],
  },
  // An operation that there is not, an answer.
  near: {
    family: ["mongodb"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "little", min: 16, max: 48_000_000 },
          { kind: "number", at: 12, size: 4, endian: "little", min: 2000, max: 2020 },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};

/** RFC 4511 section 4.1.1: a sequence with every form of length, and a message id of 1 to 4 bytes. */
const ldapHeads = [
  { hex: "30 00", mask: "ff 80" },
  { hex: "30 81 00", mask: "ff ff 00" },
  { hex: "30 82 00 00", mask: "ff ff 00 00" },
  { hex: "30 83 00 00 00", mask: "ff ff 00 00 00" },
  { hex: "30 84 00 00 00 00", mask: "ff ff 00 00 00 00" },
];
const ldapIds = [
  { hex: "02 01 00", mask: "ff ff 00" },
  { hex: "02 02 00 00", mask: "ff ff 00 00" },
  { hex: "02 03 00 00 00", mask: "ff ff 00 00 00" },
  { hex: "02 04 00 00 00 00", mask: "ff ff 00 00 00 00" },
];

export const ldap: ProfileSource = {
  name: "ldap",
  description: "LDAP: any request",
  expect: {
    kind: "any",
    // Then an operation, which is of class application.
    rules: ldapHeads.flatMap((head) =>
      ldapIds.map(
        (id): Rule => ({
          kind: "bytes",
          hex: `${head.hex} ${id.hex} 40`,
          mask: `${head.mask} ${id.mask} c0`,
        }),
      ),
    ),
  },
  // A message with an operation that there is not.
  near: {
    family: ["ldap"],
    rules: [pattern("30 .. 02 0."), pattern("30 84 00 00 .. .. 02 0.")],
  },
  strikes: nearStrikes,
};

export const dns: ProfileSource = {
  name: "dns",
  description: "DNS over TCP: queries, zone transfers, updates, notifies",
  expect: {
    // RFC 1035 sections 4.1.1 and 4.2.2: a length, an id, a query, counts.
    kind: "all",
    rules: [
      { kind: "number", size: 2, endian: "big", min: 12 },
      {
        kind: "any",
        rules: [
          {
            // One question, or zone of an update (RFC 2136); the first label of its name, or the root.
            kind: "all",
            rules: [
              { kind: "bytes", at: 4, hex: "00 00 00 01 00 00 00 00 00 00", mask: "80 40 ff ff ff 00 fc 00 fc 00" },
              {
                kind: "any",
                rules: [
                  { kind: "number", at: 14, size: 1, min: 1, max: 63 },
                  // The root's; a type below 256, and a class.
                  {
                    kind: "all",
                    rules: [
                      { kind: "bytes", at: 14, hex: "00 00" },
                      { kind: "number", at: 16, size: 1, min: 1 },
                      { kind: "bytes", at: 17, hex: "00" },
                      { kind: "number", at: 18, size: 1, min: 1 },
                    ],
                  },
                ],
              },
            ],
          },
          // Server status; stateful operations (RFC 8490), of which the first says what is kept alive.
          { kind: "bytes", at: 4, hex: ["10 00 00 00 00 00 00 00 00 00", "30 00 00 00 00 00 00 00 00 00"] },
        ],
      },
    ],
  },
  // An answer, an operation that there is not.
  near: {
    family: ["dns"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 2, endian: "big", min: 12, max: 4096 },
          { kind: "bytes", at: 6, hex: "00 01 00" },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};

export const sip: ProfileSource = {
  name: "sip",
  description: "SIP over TCP: requests, and keep-alives before them",
  expect: {
    kind: "any",
    rules: [false, true].flatMap((after): Rule[] => {
      const rules: Rule[] = [
        {
          // RFC 3261 section 7.1: any method; a target of one of these schemes.
          kind: "all",
          rules: [
            { kind: "run", class: "token", min: 1, max: 32, until: "20", after },
            { kind: "text", text: ["sip:", "sips:", "tel:", "urn:"], ignoreCase: true, after: true },
          ],
        },
        { kind: "text", text: "SIP/2.0 ", after },
      ];
      // RFC 5626 section 4.4.1.
      const keepAlive: Rule = { kind: "bytes", hex: ["0d 0a 0d 0a", "0d 0a"] };
      return after ? rules.map((rule): Rule => ({ kind: "all", rules: [keepAlive, rule] })) : rules;
    }),
  },
  // A target with another scheme.
  near: {
    family: ["sip"],
    overrules: ["text"],
    rules: [{ kind: "text", text: ["INVITE ", "REGISTER ", "OPTIONS ", "SUBSCRIBE ", "NOTIFY ", "MESSAGE "] }],
  },
  strikes: nearStrikes,
};

export const socks: ProfileSource = {
  name: "socks",
  description: "SOCKS 4, 4a and 5",
  expect: {
    kind: "any",
    rules: [
      {
        // RFC 1928 section 3: a version, and at least one method; ten are registered.
        kind: "all",
        rules: [
          { kind: "bytes", hex: "05" },
          { kind: "number", at: 1, size: 1, min: 1, max: 32 },
        ],
      },
      // The SOCKS 4 memos: connect or bind.
      { kind: "bytes", hex: ["04 01", "04 02"] },
    ],
  },
  // No method, a command that there is not.
  near: {
    family: ["socks"],
    rules: [{ kind: "bytes", hex: ["05", "04"] }],
  },
  strikes: nearStrikes,
};

export const openvpn: ProfileSource = {
  name: "openvpn",
  description: "OpenVPN over TCP, with tls-auth or tls-crypt of any kind or without",
  expect: {
    // openvpn-rfc section 5: a length, and the reset that opens a session, of key 0: opcode 7, or 10 of tls-crypt-v2.
    kind: "all",
    rules: [
      { kind: "number", size: 2, endian: "big", min: 14, max: 2048 },
      { kind: "bytes", at: 2, hex: ["38", "50"] },
    ],
  },
  // Another packet than the first of a session.
  near: {
    family: ["openvpn"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 2, endian: "big", min: 14, max: 2048 },
          { kind: "number", at: 2, size: 1, min: 0x08, max: 0x5f },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};
