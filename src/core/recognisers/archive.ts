// SPDX-License-Identifier: Apache-2.0
// Version control and file transfer, as data.
import type { Recogniser } from "../signature/signature.ts";

export const git: Recogniser = {
  name: "git",
  description: "The git protocol's request, gitprotocol-pack",
  rules: [
    {
      // Four hexadecimal digits of length: 14 + 32 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "hex", min: 4 },
        { kind: "text", at: 4, text: "git-" },
      ],
    },
  ],
};

export const svn: Recogniser = {
  name: "svn",
  description: "Subversion: the client's greeting, ra_svn protocol section 2",
  // 48 bits.
  rules: [{ kind: "text", text: ["( 1 ( ", "( 2 ( ", "( success "] }],
};

export const cvs: Recogniser = {
  name: "cvs",
  description: "CVS pserver, cvsclient section 2",
  // 48 bits.
  rules: [{ kind: "text", text: ["BEGIN AUTH", "BEGIN VERIFICATION", "BEGIN GSSAPI"] }],
};

export const rsync: Recogniser = {
  name: "rsync",
  description: "The rsync daemon's greeting",
  // 64 bits.
  rules: [{ kind: "text", text: "@RSYNCD:" }],
};
