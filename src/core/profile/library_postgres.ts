// SPDX-License-Identifier: Apache-2.0
// The built-in profile postgres: what may come first, PostgreSQL manual section "Message Formats".
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

export const postgres: ProfileSource = {
  name: "postgres",
  description: "PostgreSQL, with or without encryption",
  expect: {
    kind: "any",
    rules: [
      // SSLRequest and GSSENCRequest.
      { kind: "bytes", hex: ["00 00 00 08 04 d2 16 2f", "00 00 00 08 04 d2 16 30"] },
      {
        // CancelRequest: a key of 4 bytes up to protocol 3.0, of 4 to 256 from 3.2 on.
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "big", min: 16, max: 268 },
          { kind: "bytes", at: 4, hex: "04 d2 16 2e" },
        ],
      },
      {
        // StartupMessage of any protocol 3, which libpq also asks for as 3.9999. Any parameter may come
        // first, whatever its name. The server takes up to 10,000 bytes.
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "big", min: 9, max: 10_000 },
          { kind: "bytes", at: 4, hex: "00 03" },
          { kind: "run", at: 8, class: "nonzero", min: 1, max: 200, until: "00" },
        ],
      },
      // No parameter at all: the server answers that a user is missing.
      { kind: "bytes", hex: "00 00 00 09 00 03 00 00 00", mask: "ff ff ff ff ff ff 00 00 ff" },
      // Protocol 2 up to PostgreSQL 13, whose message is always that long.
      { kind: "bytes", hex: "00 00 01 28 00 02 00 00" },
      // PostgreSQL 17: TLS at once, with ALPN.
      { kind: "tls", alpn: ["postgresql"] },
    ],
  },
  // A message of start-up with other contents.
  near: {
    family: ["postgres"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 4, endian: "big", min: 8, max: 10_000 },
          { kind: "bytes", at: 4, hex: ["00 02", "00 03", "04 d2 16"] },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};
