// SPDX-License-Identifier: Apache-2.0
// The built-in profile modbus: Modbus Messaging on TCP/IP section 3.1.3 (protocol 0 and a length) and the
// Modbus application protocol, section 6: each function has a length.
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

export const modbus: ProfileSource = {
  name: "modbus",
  description: "Modbus/TCP",
  expect: {
    kind: "all",
    rules: [
      { kind: "bytes", at: 2, hex: "00 00 00" },
      {
        kind: "any",
        rules: [
          // One address and one value or count.
          {
            kind: "bytes",
            at: 5,
            hex: ["06 00 01", "06 00 02", "06 00 03", "06 00 04", "06 00 05", "06 00 06"],
            mask: "ff 00 ff",
          },
          { kind: "bytes", at: 5, hex: ["02 00 07", "02 00 0b", "02 00 0c", "02 00 11"], mask: "ff 00 ff" },
          // Mask write, read a queue.
          { kind: "bytes", at: 5, hex: ["08 00 16", "04 00 18"], mask: "ff 00 ff" },
          {
            // Diagnostics, whose "return query data" may be long; UMAS of Schneider, function 90.
            kind: "all",
            rules: [
              { kind: "number", at: 5, size: 1, min: 4, max: 254 },
              { kind: "bytes", at: 7, hex: ["08", "5a"] },
            ],
          },
          {
            // Several coils or registers (15, 16, 23), files (20, 21), encapsulated transport (43).
            kind: "all",
            rules: [
              { kind: "number", at: 5, size: 1, min: 4, max: 254 },
              { kind: "bytes", at: 7, hex: ["0f", "10", "14", "15", "17", "2b"] },
            ],
          },
          {
            // What a maker may define, section 5, and what makers of old controllers defined outside of it:
            // program and poll (9, 10, 13, 14), 40 to 42, 125 to 127.
            kind: "all",
            rules: [
              { kind: "number", at: 5, size: 1, min: 2, max: 254 },
              {
                kind: "any",
                rules: [
                  { kind: "bytes", at: 7, hex: ["09", "0a", "0d", "0e", "12", "13"] },
                  { kind: "number", at: 7, size: 1, min: 0x28, max: 0x2a },
                  { kind: "number", at: 7, size: 1, min: 0x41, max: 0x48 },
                  { kind: "number", at: 7, size: 1, min: 0x64, max: 0x6e },
                  { kind: "number", at: 7, size: 1, min: 0x7d, max: 0x7f },
                ],
              },
            ],
          },
        ],
      },
    ],
  },
  // A function that there is not, or with another length.
  near: {
    family: ["modbus"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "bytes", at: 2, hex: "00 00 00" },
          { kind: "number", at: 5, size: 1, min: 2, max: 254 },
          { kind: "number", at: 7, size: 1, min: 1, max: 127 },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};
