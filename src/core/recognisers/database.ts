// SPDX-License-Identifier: Apache-2.0
// Databases and caches, as data.
import type { Recogniser } from "../signature/signature.ts";

export const redis: Recogniser = {
  name: "redis",
  description: "Redis: RESP arrays of bulk strings, and inline commands",
  rules: [
    {
      // 8 + 5 + 8 + 16 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "*" },
        { kind: "run", at: 1, class: "digit", min: 1, max: 4, until: "0d" },
        { kind: "text", text: "\n$", after: true },
      ],
    },
    {
      // 36 bits and more in either case.
      kind: "text",
      text: [
        "COMMAND\r",
        "CONFIG GET ",
        "CONFIG SET ",
        "EVAL ",
        "FLUSHALL",
        "HELLO 2",
        "HELLO 3",
        "INFO\n",
        "INFO\r",
        "KEYS *",
        "PING\n",
        "PING\r",
        "SLAVEOF ",
      ],
      ignoreCase: true,
    },
  ],
};

export const memcached: Recogniser = {
  name: "memcached",
  description: "memcached: text and binary protocol, protocol.txt and protocol-binary",
  rules: [
    // 48 bits and more.
    {
      kind: "text",
      text: ["flush_all", "gets ", "stats\n", "stats\r", "stats ", "verbosity ", "version\n", "version\r"],
    },
    {
      // HTTP in small letters has a path: 32 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "get " },
        { kind: "run", at: 4, class: "visible", min: 1 },
        { kind: "not", rule: { kind: "text", at: 4, text: "/" } },
      ],
    },
    {
      // A key, flags, an expiry and a size: 32 + 1 + 3 * 13 bits.
      kind: "all",
      rules: [
        { kind: "text", text: ["add ", "append ", "cas ", "prepend ", "replace ", "set "] },
        { kind: "run", class: "visible", min: 1, max: 250, until: "20", after: true },
        { kind: "run", class: "digit", min: 1, max: 10, until: "20", after: true },
        { kind: "run", class: "digit", also: "2d", min: 1, max: 10, until: "20", after: true },
        { kind: "run", class: "digit", min: 1, max: 10, until: "0d 0a 20", after: true },
      ],
    },
    {
      // Request, an opcode below 0x60, no data type; a body below 65,536, no version. 8 + 1 + 24 + 16 + 64 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "80" },
        { kind: "number", at: 1, size: 1, max: 0x5f },
        { kind: "bytes", at: 5, hex: "00 00 00 00 00" },
        { kind: "bytes", at: 16, hex: "00 00 00 00 00 00 00 00" },
      ],
    },
  ],
};

export const postgres: Recogniser = {
  name: "postgres",
  description: "PostgreSQL: encryption, cancel and start-up requests, manual section 55.7",
  rules: [
    // 64 bits.
    { kind: "bytes", hex: ["00 00 00 08 04 d2 16 2f", "00 00 00 08 04 d2 16 30", "00 00 00 10 04 d2 16 2e"] },
    {
      // Protocol 3 and the name of a parameter: 16 + 24 + 40 bits; "user" and its end are beyond any header
      // of length and version.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "00 03 00" },
        {
          kind: "text",
          at: 8,
          text: [
            "user\0",
            "database\0",
            "application_name\0",
            "client_encoding\0",
            "DateStyle\0",
            "TimeZone\0",
            "options\0",
            "replication\0",
            "extra_float_digits\0",
            "_pq_.",
          ],
        },
      ],
    },
    {
      // Any other parameter, and a value: 16 + 24 bits, and beyond any header of length and version 6 + 8 + 1 + 8.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "00 03 00" },
        { kind: "run", at: 8, class: "alnum", also: "2d 2e 5f", min: 3, max: 63, until: "00" },
        { kind: "run", class: "printable", min: 1, max: 100, until: "00", after: true },
      ],
    },
    {
      // Cancel with the longer key of protocol 3.2: 16 + 32 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 4, endian: "big", min: 16, max: 268 },
        { kind: "bytes", at: 4, hex: "04 d2 16 2e" },
      ],
    },
  ],
};

export const tds: Recogniser = {
  name: "tds",
  description: "MS-SQL: TDS pre-login and login, MS-TDS sections 2.2.6.5 and 2.2.6.4",
  rules: [
    {
      // Pre-login, whole message, no process id, packet 0 or 1; the version option with 6 bytes of data.
      // 16 + 6 + 16 + 7 + 24 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "12 01" },
        { kind: "number", at: 2, size: 2, endian: "big", min: 14, max: 1023 },
        { kind: "bytes", at: 4, hex: "00 00 00 00 00 00", mask: "ff ff fe ff ff ff" },
        { kind: "bytes", at: 11, hex: "00 06" },
      ],
    },
    {
      // Login of TDS 7: 16 + 16 + 31 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "10 01" },
        { kind: "bytes", at: 4, hex: "00 00", mask: "ff ff" },
        {
          kind: "bytes",
          at: 12,
          hex: ["00 00 00 70", "01 00 00 71", "02 00 09 72", "03 00 0a 73", "03 00 0b 73", "04 00 00 74"],
        },
      ],
    },
  ],
};

export const tns: Recogniser = {
  name: "tns",
  description: "Oracle: a TNS connect packet",
  rules: [
    {
      // No checksums, type 1; versions 300 to 320 and compatible with 300 to 511; the largest transport
      // unit and the place of the connect data. 16 + 32 + 8 + 3 + 8 + 15 + 8 bits, the last 23 beyond any header.
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 01 00 00 00 01" },
        { kind: "number", at: 9, size: 1, min: 0x2c, max: 0x40 },
        { kind: "bytes", at: 10, hex: "01" },
        { kind: "bytes", at: 16, hex: "7f ff", mask: "7f ff" },
        { kind: "bytes", at: 26, hex: "00" },
      ],
    },
  ],
};

export const mongodb: Recogniser = {
  name: "mongodb",
  description: "MongoDB: wire protocol messages of a client",
  rules: [
    {
      // A length below 65,536, in answer to nothing, operation 2,004 (a query) to 2,013 (a message).
      // 16 + 32 + 29 bits.
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00" },
        { kind: "bytes", at: 8, hex: ["00 00 00 00", "ff ff ff ff"] },
        { kind: "number", at: 12, size: 4, endian: "little", min: 2004, max: 2013 },
      ],
    },
  ],
};

export const cassandra: Recogniser = {
  name: "cassandra",
  description: "Cassandra: CQL OPTIONS and STARTUP, native protocol v3 to v5 section 4.1",
  rules: [
    {
      // OPTIONS has no body: 9 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 3, max: 0x42 },
        { kind: "bytes", at: 4, hex: "05 00 00 00 00" },
        { kind: "length", min: 9, max: 9 },
      ],
    },
    {
      // STARTUP: version 1 to 5 or 0x42, a map of options that begins with one of these. 2 + 88 bits and more,
      // all but the first beyond any header's reach.
      kind: "all",
      rules: [
        { kind: "number", size: 1, min: 1, max: 0x42 },
        {
          kind: "any",
          rules: [
            { kind: "text", at: 13, text: ["CQL_VERSION", "COMPRESSION", "DRIVER_NAME", "DRIVER_VERSION"] },
            { kind: "text", at: 12, text: ["CQL_VERSION", "COMPRESSION"] },
          ],
        },
      ],
    },
  ],
};

export const drda: Recogniser = {
  name: "drda",
  description: "DRDA, which Db2 and Derby speak: an exchange of server attributes, DDM EXCSAT",
  rules: [
    {
      // A length below 4,096, d0, a chained request of number 1, code point 1041. 4 + 8 + 2 + 16 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 d0 01 00 01", mask: "f0 00 ff 8f ff ff" },
        { kind: "bytes", at: 8, hex: "10 41" },
      ],
    },
  ],
};

export const bolt: Recogniser = {
  name: "bolt",
  description: "Neo4j: the magic of Bolt's handshake, Bolt protocol specification",
  // And three of four versions, below 2^24 each: 32 + 24 bits.
  rules: [
    {
      kind: "bytes",
      hex: "60 60 b0 17 00 00 00 00 00 00 00 00 00",
      mask: "ff ff ff ff ff 00 00 00 ff 00 00 00 ff",
    },
  ],
};

export const mysql: Recogniser = {
  name: "mysql",
  description: "MySQL: a login of protocol 4.1 that does not wait for the greeting, HandshakeResponse41",
  rules: [
    {
      // A length below 256, number 1 or 0; the protocol and transaction flags; 23 zeros. 23 + 1 + 64 bits.
      kind: "all",
      rules: [
        { kind: "bytes", at: 1, hex: "00 00 00", mask: "ff ff fe" },
        { kind: "bytes", at: 5, hex: "02", mask: "02" },
        { kind: "run", at: 13, class: "zero", min: 8 },
      ],
    },
  ],
};
