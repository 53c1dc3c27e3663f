// SPDX-License-Identifier: Apache-2.0
// The built-in profiles, as data.
import type { ProfileSource } from "./profile.ts";

/** What is public of TapeTrack's wire: at least one block of AES, perhaps after a short clear header. */
const tapetrack: ProfileSource = {
  name: "tapetrack",
  description:
    "TapeTrack Server: at least one 16-byte block that looks random, perhaps after a clear header of up to 16 bytes",
  expect: { kind: "length", min: 16 },
  foreign: "all",
  // Nobody is banned for what nobody knows.
  default: "undecided",
};

export const defaultProfileName = "tapetrack";

export const profileLibrary: ReadonlyMap<string, ProfileSource> = new Map([["tapetrack", tapetrack]]);
