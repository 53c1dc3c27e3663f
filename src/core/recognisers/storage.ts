// SPDX-License-Identifier: Apache-2.0
// Block storage and backup, as data.
import type { Recogniser } from "../signature/signature.ts";

export const iscsi: Recogniser = {
  name: "iscsi",
  description: "iSCSI: a login request, RFC 7143 section 11.12",
  rules: [
    {
      // Immediate login, version 0, no extra header, data below 65,536; reserved zeros: 8 + 32 + 128 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "43 00 00 00 00 00", mask: "ff 00 ff ff ff ff" },
        { kind: "run", at: 32, class: "zero", min: 16 },
      ],
    },
  ],
};

export const nbd: Recogniser = {
  name: "nbd",
  description: "NBD: the client's flags and its first option, proto.md",
  rules: [
    {
      // 30 + 64 bits.
      kind: "all",
      rules: [
        { kind: "number", size: 4, endian: "big", max: 3 },
        { kind: "text", at: 4, text: "IHAVEOPT" },
      ],
    },
  ],
};

export const ndmp: Recogniser = {
  name: "ndmp",
  description: "NDMP: a request to open the connection, NDMP v4 section 3.1",
  rules: [
    {
      // Last fragment below 256 bytes; request, message 0x900, no answer, no error: 24 + 32 + 32 + 64 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "80 00 00" },
        { kind: "bytes", at: 12, hex: "00 00 00 00 00 00 09 00 00 00 00 00 00 00 00 00" },
      ],
    },
  ],
};

export const ceph: Recogniser = {
  name: "ceph",
  description: "Ceph: the banner of either messenger protocol",
  // 56 bits.
  rules: [{ kind: "text", text: ["ceph v0", "ceph v2"] }],
};

export const lustre: Recogniser = {
  name: "lustre",
  description: "Lustre: a request to LNet's acceptor",
  // Magic and version 1, in either order of bytes: 64 bits.
  rules: [{ kind: "bytes", hex: ["00 71 ce ac 01 00 00 00", "ac ce 71 00 00 00 00 01"] }],
};
