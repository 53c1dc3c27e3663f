// SPDX-License-Identifier: Apache-2.0
// The built-in profiles, as data.
import type { ProfileSource } from "./profile.ts";

/** What is public of TapeTrack's wire: at least one block of AES, perhaps after a short clear header. */
const tapetrack: ProfileSource = {
  name: "tapetrack",
  description:
    "TapeTrack Server: at least one 16-byte block that looks random, perhaps after a clear header of up to 16 bytes",
  expect: { kind: "random", bytes: 16, slack: 16 },
  foreign: "all",
  // 32 clear bits and then what looks random up to byte 132: a friend with such a header would have to
  // wait for more bytes than it has to send.
  tolerate: ["wireguard"],
  // Nobody is banned for what nobody knows.
  default: "undecided",
};

export const defaultProfileName = "tapetrack";

export const profileLibrary: ReadonlyMap<string, ProfileSource> = new Map([["tapetrack", tapetrack]]);
