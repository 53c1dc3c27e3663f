// SPDX-License-Identifier: Apache-2.0
// Control systems, as data. Their headers are short binary numbers, much like anybody's clear header: a
// rule needs values that no length, version or flag has, or the silence after a packet that is too
// short for a friend's.
import type { Recogniser } from "../signature/signature.ts";

export const modbus: Recogniser = {
  name: "modbus",
  description: "Modbus/TCP requests, Modbus Messaging on TCP/IP section 3.1.3",
  // Protocol 0, a length that fits, a function; 8 to 12 bytes and silence, no friend's packet.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00 06" },
        { kind: "number", at: 7, size: 1, min: 1, max: 8 },
        { kind: "length", min: 12, max: 12 },
      ],
    },
    {
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00 05" },
        { kind: "bytes", at: 7, hex: "2b 0e" },
        { kind: "length", min: 11, max: 11 },
      ],
    },
    {
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00 02" },
        { kind: "number", at: 7, size: 1, min: 0x07, max: 0x11 },
        { kind: "length", min: 8, max: 8 },
      ],
    },
    {
      // UMAS, a function of Schneider Electric, and short writes: at most 15 bytes and silence.
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00" },
        { kind: "number", at: 5, size: 1, min: 4, max: 9, length: "equals", plus: 6 },
        { kind: "bytes", at: 7, hex: ["0f", "10", "5a"] },
      ],
    },
    {
      // Writes of several coils or registers: unit, count, and the number of bytes that follow it. 24 + 6 + 7 +
      // 5 + 8 bits, the last beyond any header of a length.
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00" },
        { kind: "bytes", at: 6, hex: ["00", "01", "ff"] },
        { kind: "bytes", at: 7, hex: ["0f", "10"] },
        { kind: "bytes", at: 10, hex: "00", mask: "f8" },
        { kind: "number", at: 12, size: 1, min: 1, max: 242, length: "equals", plus: 13 },
      ],
    },
    {
      // Reads and writes at once: 24 + 8 + 16 + 1 + 8 bits.
      kind: "all",
      rules: [
        { kind: "bytes", at: 2, hex: "00 00 00" },
        { kind: "bytes", at: 7, hex: "17" },
        { kind: "bytes", at: 10, hex: "00" },
        { kind: "number", at: 11, size: 1, min: 1, max: 125 },
        { kind: "bytes", at: 14, hex: "00" },
        { kind: "number", at: 16, size: 1, min: 2, max: 238, length: "equals", plus: 17 },
      ],
    },
  ],
};

export const iec104: Recogniser = {
  name: "iec104",
  description: "IEC 60870-5-104: start, stop and test frames, section 5",
  rules: [
    {
      // Length 4 and a function: 6 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["68 04 07 00 00 00", "68 04 13 00 00 00", "68 04 43 00 00 00"] },
        { kind: "length", max: 6 },
      ],
    },
    // Start and a general interrogation (type 100, cause 6) right behind it: 128 bits.
    { kind: "bytes", hex: "68 04 07 00 00 00 68 0e 00 00 00 00 64 01 06 00" },
  ],
};

export const s7comm: Recogniser = {
  name: "s7comm",
  description:
    "S7comm and other ISO transport over TCP: a connection request with TSAPs, RFC 1006 and ISO 8073 section 13.3",
  rules: [
    {
      // As RDP's, but then the size or the calling or called TSAP. 16 + 6 + 24 + 4 + 6 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "03 00" },
        { kind: "number", at: 2, size: 2, endian: "big", min: 11, max: 1023 },
        { kind: "bytes", at: 5, hex: "e0 00 00" },
        { kind: "bytes", at: 10, hex: "00", mask: "0f" },
        { kind: "number", at: 11, size: 1, min: 0xc0, max: 0xc2 },
        { kind: "number", at: 12, size: 1, min: 1, max: 16 },
      ],
    },
  ],
};

export const enip: Recogniser = {
  name: "enip",
  description: "EtherNet/IP: register session and list commands, CIP volume 2 section 2-4",
  rules: [
    {
      // Command and length; session 0, status 0, options 0: 32 + 64 + 32 bits, the last beyond any header.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["04 00 00 00", "63 00 00 00", "64 00 00 00", "65 00 04 00"] },
        { kind: "bytes", at: 4, hex: "00 00 00 00 00 00 00 00" },
        { kind: "bytes", at: 20, hex: "00 00 00 00" },
      ],
    },
  ],
};

export const dnp3: Recogniser = {
  name: "dnp3",
  description: "DNP3: a link frame of a master, IEEE 1815 section 9.2",
  rules: [
    {
      // Magic, a length, primary frame, addresses below 256: 16 + 1 + 5 + 16 bits. The magic could be a
      // length of 1,380 (1 of 1,445 packets); even so 32 bits stay.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "05 64" },
        { kind: "number", at: 2, size: 1, min: 5 },
        { kind: "bytes", at: 3, hex: ["c0", "c2", "c3", "c4", "c9", "d3", "f3", "44"] },
        { kind: "bytes", at: 5, hex: "00" },
        { kind: "bytes", at: 7, hex: "00" },
      ],
    },
    {
      // To all, fffd to ffff, or to the self address fffc. 16 + 1 + 5 + 6 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "05 64" },
        { kind: "number", at: 2, size: 1, min: 5 },
        { kind: "bytes", at: 3, hex: ["c0", "c2", "c3", "c4", "c9", "d3", "f3", "44"] },
        { kind: "bytes", at: 4, hex: "fc ff 00 00", mask: "fc ff 00 ff" },
      ],
    },
  ],
};

export const bacnet: Recogniser = {
  name: "bacnet",
  description: "BACnet/IP that came over TCP: who-is and property reads, ASHRAE 135 annex J",
  rules: [
    // Who-is, to this network and to all: 64 bits and 56 or more.
    { kind: "bytes", hex: ["81 0a 00 08 01 00 10 08", "81 0b 00 08 01 00 10 08"] },
    { kind: "bytes", hex: "81 0a 00 00 01 20 ff ff 00 ff", mask: "ff fe ff 00 ff ff ff ff ff ff" },
    // A confirmed request that expects an answer, read property or read properties: 24 + 24 + 8 bits.
    {
      kind: "bytes",
      hex: ["81 0a 00 00 01 04 00 00 00 0c", "81 0a 00 00 01 04 00 00 00 0e"],
      mask: "ff ff ff 00 ff ff ff 00 00 ff",
    },
  ],
};

export const opcua: Recogniser = {
  name: "opcua",
  description: "OPC UA: a hello, part 6 section 7.1.2.3",
  // HEL, final chunk, a size below 65,536: 32 + 16 bits.
  rules: [{ kind: "bytes", hex: "48 45 4c 46 00 00 00 00", mask: "ff ff ff ff 00 00 ff ff" }],
};
